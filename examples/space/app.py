"""The page of `spillover explore` as a Hugging Face Space."""

import os

from spillover.explore.gradio_page import launch_options, make_page
from spillover.explore.session import open_session

session = open_session(os.environ.get("SPILLOVER_MODEL", "gemma3-270m"))
# Strangers see this page: they open no folder of this machine.
page = make_page(session, ["sentiment"], fixed_run=True)
page.launch(**launch_options())
