"""Leads: one enquiry of one person, captured with the trail that led to it.

`lead` holds the nouns, `request` reads what a caller sends, `contact` finds and checks how a person can be reached,
`freeze` copies the trail at the moment of capture, `late` keeps adding what arrives afterwards, `watching` does so for
leads that other processes captured, of which `open_leads` tells, `store` is the tables, `show` is the lead as the
contract writes it, and `capture` is the desk that puts them together.
"""
