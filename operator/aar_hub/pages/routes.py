"""Every page by its address."""

from __future__ import annotations

from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from aar_hub.pages import campaign, experiment, forum, leaderboard, researchers, snapshot, spend, transcript
from aar_hub.pages._page import form, page
from aar_hub.pages.render import FOLDER

ROUTES: list[BaseRoute] = [
    page("/", campaign.show),
    page("/leaderboard", leaderboard.show),
    page("/experiments", experiment.show_all),
    page("/experiments/{name}", experiment.show),
    page("/snapshots/{digest}", snapshot.show),
    page("/forum", forum.show),
    form("/forum", forum.post),
    page("/researchers", researchers.show_all),
    page("/researchers/{name}", researchers.show),
    page("/researchers/{name}/transcript", transcript.show),
    page("/llm/calls/{number}", transcript.show_call),
    page("/spend", spend.show),
    Mount("/assets", StaticFiles(directory=FOLDER / "assets")),
]
