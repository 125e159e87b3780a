"""What the tests share: the server under test, images, tasks, signed requests, and leftovers."""
