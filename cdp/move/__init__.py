"""Copying a store to another adapter: from one machine to servers, and back.

A store is seen as tables of rows in the order of a key (`contents`), whatever keeps it. `copy` brings over what comes
after the newest key that is already there, so that a move that was cut off goes on by itself, and compares both sides
at its end. `choose` tells from two URLs which store is meant, `opening` opens it, and `rest` refuses while anybody
works on it.
"""
