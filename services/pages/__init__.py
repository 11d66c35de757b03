"""What the pages of every service share: layout, static files, who is signed in, errors as pages, who answered."""
