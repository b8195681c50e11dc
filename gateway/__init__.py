"""The edge: takes signed requests, appends them to the queue, and answers when they are durable."""
