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

SNOWPLOW = {
    "page_view": PAGE_VIEWED,
    "screen_view": PAGE_VIEWED,
    "screen_end": PAGE_LEFT,
    "link_click": ELEMENT_CLICKED,
    "button_click": ELEMENT_CLICKED,
    "expose_element": ELEMENT_SHOWN,
    "submit_form": FORM_SUBMITTED,
    "application_foreground": APP_OPENED,
    "application_background": APP_CLOSED,
    "identify": IDENTIFIED,
}
"""Of Snowplow's own schemas only: a team's schema may have the same name. A page ping says that somebody still reads,
for which there is no name of ours, and an installation is no opening; both keep theirs."""

GA4 = {
    "page_view": PAGE_VIEWED,
    "screen_view": PAGE_VIEWED,
    "click": ELEMENT_CLICKED,
    "form_submit": FORM_SUBMITTED,
    "session_start": SESSION_STARTED,
    "app_open": APP_OPENED,
    "share": SHARED,
}
"""Names that Google gave, be it to what its clients collect or to what it asks teams to send."""

THINKINGDATA = {
    "ta_pageview": PAGE_VIEWED,
    "ta_page_show": PAGE_VIEWED,
    "ta_page_hide": PAGE_LEFT,
    "ta_mp_view": PAGE_VIEWED,
    "ta_app_view": PAGE_VIEWED,
    "ta_app_click": ELEMENT_CLICKED,
    "ta_mp_click": ELEMENT_CLICKED,
    # As with Sensors: the first is the program's start, the second a visit.
    "ta_mp_launch": APP_OPENED,
    "ta_mp_show": SESSION_STARTED,
    "ta_mp_hide": APP_CLOSED,
    "ta_mg_launch": APP_OPENED,
    "ta_mg_show": SESSION_STARTED,
    "ta_mg_hide": APP_CLOSED,
    "ta_app_start": APP_OPENED,
    "ta_app_end": APP_CLOSED,
    "ta_mp_share": SHARED,
    "ta_mg_share": SHARED,
}
"""An installation and a crash keep their names."""

GROWINGIO = {
    "VISIT": SESSION_STARTED,
    "PAGE": PAGE_VIEWED,
    "VIEW_CLICK": ELEMENT_CLICKED,
    "FORM_SUBMIT": FORM_SUBMITTED,
    "APP_CLOSED": APP_CLOSED,
    "LOGIN_USER_ATTRIBUTES": PROFILE_UPDATED,
    "VISITOR_ATTRIBUTES": PROFILE_UPDATED,
    # The app's first start, and one to which an ad led; `$app_defer` comes beside the first.
    "ACTIVATE": APP_OPENED,
    "$app_activation": APP_OPENED,
    "$app_reengage": APP_OPENED,
    "$mp_on_share": SHARED,
    "$mp_share_timeline": SHARED,
}
"""`VIEW_CHANGE`, an input that was filled in or a box that was ticked, is no click and keeps its name."""

POSTHOG = {
    "$pageview": PAGE_VIEWED,
    "$screen": PAGE_VIEWED,
    "$pageleave": PAGE_LEFT,
    "Application Opened": APP_OPENED,
    "Application Backgrounded": APP_CLOSED,
}
"""A `$rageclick` or `$dead_click` comes besides the clicks that it is made of, so it keeps its name."""

POSTHOG_AUTOCAPTURE = {
    "click": ELEMENT_CLICKED,
    "touch": ELEMENT_CLICKED,
    "submit": FORM_SUBMITTED,
}
"""By the `$event_type` of an `$autocapture`. A change of a field, which has no name of ours, keeps theirs."""

TYPES = {
    PAGE_VIEWED: EventType.PAGE,
    ELEMENT_CLICKED: EventType.CLICK,
}
"""Types that a name decides; all other tracked events are TRACK."""
