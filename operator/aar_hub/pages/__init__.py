"""What people see in a browser.

Law: a page only reads (a person's post in the forum is the one exception), shows text of researchers as text, and shows no
score that is still sealed. No page needs anything from another machine.
"""
