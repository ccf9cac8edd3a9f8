"""One name for what SDKs collect by themselves, on all ends. Names that a team chose stay as they are."""

from __future__ import annotations

from cdp.model import EventType

PAGE_VIEWED = "page_viewed"
PAGE_LEFT = "page_left"
ELEMENT_CLICKED = "element_clicked"
ELEMENT_SHOWN = "element_shown"
FORM_SUBMITTED = "form_submitted"
SESSION_STARTED = "session_started"
APP_OPENED = "app_opened"
APP_CLOSED = "app_closed"
SHARED = "shared"
IDENTIFIED = "identified"
ALIASED = "aliased"
GROUPED = "grouped"
PROFILE_UPDATED = "profile_updated"
ITEM_UPDATED = "item_updated"

SEGMENT = {
    "Application Opened": APP_OPENED,
    "Application Backgrounded": APP_CLOSED,
}
"""Lifecycle events of the mobile SDKs; page, screen, identify, group and alias are types of their own."""

SENSORS = {
    "$pageview": PAGE_VIEWED,
    "$MPViewScreen": PAGE_VIEWED,
    "$AppViewScreen": PAGE_VIEWED,
    "$WebPageLeave": PAGE_LEFT,
    "$MPPageLeave": PAGE_LEFT,
    "$AppPageLeave": PAGE_LEFT,
    "$WebClick": ELEMENT_CLICKED,
    "$MPClick": ELEMENT_CLICKED,
    "$AppClick": ELEMENT_CLICKED,
    # How long a part of a page stayed on the screen while the visitor scrolled; several come per page.
    "$WebStay": ELEMENT_SHOWN,
    # A launch is also shown: the first is the program's start, the second a visit, which begins with each
    # return from the background too.
    "$MPLaunch": APP_OPENED,
    "$MPShow": SESSION_STARTED,
    "$AppStart": APP_OPENED,
    "$MPHide": APP_CLOSED,
    "$AppEnd": APP_CLOSED,
    "$MPShare": SHARED,
    "$SignUp": IDENTIFIED,
    "$BindID": ALIASED,
}
"""`$UnbindID` keeps its name: it is the contrary of `aliased`."""

TYPES = {
    PAGE_VIEWED: EventType.PAGE,
    ELEMENT_CLICKED: EventType.CLICK,
}
"""Types that a name decides; all other tracked events are TRACK."""
