"""What the workflow needs beside the physics: options, layout, digests, logs, pages."""
