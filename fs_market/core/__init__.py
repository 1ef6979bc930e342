"""The market without IO: ``wire`` has the bytes, ``money`` the amounts, ``session`` both sides."""
