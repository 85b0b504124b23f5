"""The one configuration of every model: camelCase outside, snake_case inside, unknown fields refused unless an object of the cluster is read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from aar_api import money

Usd = Annotated[str, Field(pattern=money.USD_PATTERN, max_length=16, description="US dollars as a decimal string.")]
PluginName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$", max_length=63)]
Scalar = bool | int | float | Annotated[str, Field(max_length=4096)]
"""A parameter or hyper-parameter; of a text, as much as a prompt needs: they stand in objects, which etcd bounds."""
Parameters = dict[Annotated[str, Field(min_length=1, max_length=128)], Scalar]
"""By name. A CRD can bound what stands under a name and not the name itself: that is done where the object is read."""


_CAMEL: dict[str, str] = {
    "limit_usd": "limitUSD",
    "llm_limit_usd": "llmLimitUSD",
    "gpu_limit_usd": "gpuLimitUSD",
    "max_gpus": "maxGPUs",
    "llm_usd": "llmUSD",
    "gpu_usd": "gpuUSD",
    "cpu_usd": "cpuUSD",
    "reserved_usd": "reservedUSD",
    "total_usd": "totalUSD",
    "usd_per_month": "usdPerMonth",
}
"""Initialisms keep their capitals, as Kubernetes writes them."""


class Model(BaseModel):
    """Base of all resource and wire models."""

    model_config = ConfigDict(
        alias_generator=lambda name: _CAMEL.get(name) or to_camel(name),
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=False,
        allow_inf_nan=False,
    )

    def dump(self) -> dict[str, Any]:
        """The camelCase dictionary of a manifest or a message; absent values are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
