"""One experiment: observe its campaign, its Jobs and its place in the line, plan, apply, ask the hub, plan again."""

from __future__ import annotations

from datetime import datetime

from aar_api.campaign import ResearchCampaign
from aar_api.conditions import Reason
from aar_api.experiment import Experiment

from aar_operator.cluster import Cluster, Denied, Invalid, Manifest, Ref
from aar_operator.hubs import HubError
from aar_operator.plan import line as line_up
from aar_operator.plan.experiment import after_admission, idle, plan_experiment
from aar_operator.plan.letting_go import without_settlement
from aar_operator.plan.model import ExperimentSeen, Plan
from aar_operator.plan.settling import after_settlement, refused_job, unscored
from aar_operator.reconcile.jobs import Jobs
from aar_operator.reconcile.lines import Lines
from aar_operator.reconcile.outcome import Outcome, carry_out, report
from aar_operator.reconcile.pool import HubPool, Line
from aar_operator.reconcile.reading import Reading
from aar_operator.settings import Settings


class ExperimentReconciler:
    """See Reconciler."""

    def __init__(self, cluster: Cluster, pool: HubPool, reading: Reading, lines: Lines, settings: Settings) -> None:
        self._cluster, self._pool, self._reading, self._lines = cluster, pool, reading, lines
        self._settings, self._jobs = settings, Jobs(cluster)
        self._doubtful: set[Ref] = set()
        """Those of which a Job was made, or not: no answer came."""

    def forget(self) -> None:
        """From now on anything may have happened unheard of."""
        self._jobs.forget()

    async def gone(self, ref: Ref) -> Outcome:
        """Its finalizer lets it go only when nothing is left of it; what somebody forced out of that is removed here. Those that
        waited behind it may have its place.
        """
        await self._bury(ref, "")
        self._doubtful.discard(ref)
        wake: list[Ref] = []
        for name in self._lines.left(ref.namespace):
            campaign = await self._campaign(Ref("ResearchCampaign", ref.namespace, name))
            if campaign is not None and campaign.metadata.deletion_timestamp is None:
                wake += self._turns(campaign)
        return Outcome(wake=tuple(wake))

    async def reconcile(self, ref: Ref, read: Manifest, now: datetime) -> Outcome:
        """Observe, plan, apply; once more with the hub's word, if it was asked."""
        experiment = self._reading.experiment(read)
        await self._bury(ref, experiment.metadata.uid)
        above = Ref("ResearchCampaign", ref.namespace, experiment.spec.campaign_ref)
        leaving = experiment.metadata.deletion_timestamp is not None
        campaign = await self._campaign(above)
        if campaign is None and leaving:
            # It would be let go unpaid: whether there is none is the server's to say.
            await self._cluster.look(above)
            campaign = await self._campaign(above)
        line = None if campaign is None else await self._pool.line(campaign)
        if line is None and campaign is not None and leaving:
            await self._pool.look(campaign)
            line = await self._pool.line(campaign)
        if campaign is not None and line is not None:
            campaign = line.plan_by(campaign)
        experiment, seen = await self._observe(experiment, read, campaign, line, now)
        plan = self._plan(experiment, seen, now)
        if await self._reread(experiment, seen, plan):
            experiment, seen = await self._observe(experiment, read, campaign, line, now)
            plan = self._plan(experiment, seen, now)
        await carry_out(self._cluster, plan)
        if line is not None and (plan.ask is not None or plan.settle is not None):
            plan = await self._second(experiment, read, seen, line, plan, now)
            self._line(experiment).begin(ref.name, bool(plan.create))
            if plan.create:
                self._doubtful.add(ref)
            try:
                await carry_out(self._cluster, plan)
                self._doubtful.discard(ref)
            except Denied as error:  # of a second try perhaps, and nothing was heard of the first
                await self._cluster.emit(ref, "Warning", str(Reason.CLUSTER_REFUSED), str(error))
                raise
            except Invalid as error:
                self._doubtful.discard(ref)
                view = await line.hub.settle(experiment.metadata.name, refused_job(experiment, seen, str(error)))
                plan = after_settlement(experiment, seen, view, now)
        status = plan.experiment_status
        written = await report(self._cluster, ref, read, status, plan)
        ended = written.moved and status is not None and idle(status)
        gives_way = ended or (written.changed and seen.job is None)
        wake = self._turns(campaign) if gives_way and campaign is not None else ()
        return Outcome(0.0 if ended else plan.requeue, wake, (above,) if written.moved else ())

    async def _reread(self, experiment: Experiment, seen: ExperimentSeen, plan: Plan) -> bool:
        """Ask the server for a Job that is unheard of, before another is made, or what ran is settled without it; whether it was asked."""
        if seen.job is not None or (plan.ask is None and plan.settle is None):
            return False
        ref = Ref("Experiment", experiment.metadata.namespace, experiment.metadata.name)
        if experiment.status.job_ref is not None or ref in self._doubtful:
            await self._jobs.reread(experiment)
            self._doubtful.discard(ref)
            return True
        # A second one has the name of the first.
        return (
            plan.settle is not None and seen.campaign is not None and await self._jobs.hear(seen.campaign.metadata.uid)
        )

    def _plan(self, experiment: Experiment, seen: ExperimentSeen, now: datetime) -> Plan:
        """The first step; who is to have a Job holds its place at once, before anybody else is looked at."""
        plan = plan_experiment(experiment, seen, now, self._settings)
        self._line(experiment).begin(experiment.metadata.name, plan.ask is not None or seen.job is not None)
        return plan

    async def _second(
        self, experiment: Experiment, read: Manifest, seen: ExperimentSeen, line: Line, plan: Plan, now: datetime
    ) -> Plan:
        """The second step; a hub that does not score what has ended is told of before it is asked again."""
        name, ref = experiment.metadata.name, Ref.of(read)
        if plan.ask is not None:
            answer = await line.hub.admit(name, plan.ask)
            return after_admission(experiment, seen, answer, now, self._settings)
        assert plan.settle is not None, "the caller looked"
        try:
            view = await line.hub.settle(name, plan.settle)
        except HubError as error:
            given_up = without_settlement(experiment, seen, now)
            if given_up is not None:
                return given_up
            if plan.settle.outcome == "finished":
                status = unscored(experiment, seen, str(error), now)
                await report(self._cluster, ref, read, status, plan)
            raise
        return after_settlement(experiment, seen, view, now)

    async def _observe(
        self,
        experiment: Experiment,
        read: Manifest,
        campaign: ResearchCampaign | None,
        line: Line | None,
        now: datetime,
    ) -> tuple[Experiment, ExperimentSeen]:
        """With its method written out, if it may be needed."""
        there = await self._jobs.of(experiment, None if campaign is None else campaign.metadata.uid, now)
        missing = ""
        if there.job is None:
            experiment, missing = await self._with_method(experiment)
        before, gpus_before = self._line(experiment).ahead(read) if there.job is None else (0, 0)
        return experiment, ExperimentSeen(
            campaign=campaign,
            summary=None if line is None else line.summary,
            unasked=line is not None and not line.asked,
            sandbox_url=None if line is None else line.sandbox_url,
            attempt=there.number,
            job=there.job,
            ran=there.ran,
            before=before,
            gpus_before=gpus_before,
            missing=missing,
        )

    async def _campaign(self, ref: Ref) -> ResearchCampaign | None:
        found = await self._cluster.get(ref)
        return None if found is None else next(iter(self._reading.campaigns([found])), None)

    def _line(self, experiment: Experiment) -> line_up.Line:
        return self._lines.of(experiment.metadata.namespace, experiment.spec.campaign_ref)

    def _turns(self, campaign: ResearchCampaign) -> tuple[Ref, ...]:
        """Those that were told to wait and may have a place now: whoever ends makes room."""
        meta = campaign.metadata
        turns = self._lines.of(meta.namespace, meta.name).next(campaign.spec.experiments.parallelism)
        return tuple(Ref("Experiment", meta.namespace, name) for name in turns)

    async def _bury(self, ref: Ref, uid: str) -> None:
        """Remove the Jobs of an object of that name that is no more."""
        for job in await self._jobs.left(ref, uid):
            one = Ref.of(job)
            await self._cluster.delete(Ref("Secret", one.namespace, one.name))
            await self._cluster.delete(one, job["metadata"]["uid"])

    async def _with_method(self, experiment: Experiment) -> tuple[Experiment, str]:
        """A method in a ConfigMap becomes an inline one; else a sentence on what is missing."""
        method = experiment.spec.method
        if method.config_map is None or idle(experiment.status):
            return experiment, ""
        wanted = method.config_map
        found = await self._cluster.get(Ref("ConfigMap", experiment.metadata.namespace, wanted.name))
        text = (found or {}).get("data", {}).get(wanted.key)
        if not text:
            return experiment, (
                f"There is no ConfigMap {wanted.name!r} with a key {wanted.key!r} in this namespace: apply it, or correct "
                "spec.method.configMap."
            )
        inline = method.model_copy(update={"config_map": None, "inline": text})
        return experiment.model_copy(update={"spec": experiment.spec.model_copy(update={"method": inline})}), ""
