"""TCP streams that are held open: `serve PORT`, or `hold ADDRESS PORT COUNT DIRECTORY`.

Whoever holds them writes how many are open to DIRECTORY/open, and for each DIRECTORY/ask-N that appears, says a
word on every stream and writes to DIRECTORY/alive-N on how many it came back.
"""

import asyncio
import sys
from pathlib import Path

WORD = b"still here\n"
# Seconds in which an answer comes, lost segments included.
PATIENCE = 4


async def serve(port):
    """Echoes whatever comes."""

    async def echo(reader, writer):
        try:
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "0.0.0.0", port, backlog=1024)
    await server.serve_forever()


async def _answers(stream):
    reader, writer = stream
    try:
        writer.write(WORD)
        await writer.drain()
        return await asyncio.wait_for(reader.readline(), PATIENCE) == WORD
    except (OSError, asyncio.TimeoutError):
        return False


def _write(path, text):
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    scratch.rename(path)


async def hold(address, port, count, directory):
    """Holds so many streams and tells of them."""
    streams = [await asyncio.open_connection(address, port) for _ in range(count)]
    streams = [s for s, ok in zip(streams, await asyncio.gather(*map(_answers, streams))) if ok]
    _write(directory / "open", str(len(streams)))
    number = 0
    while True:
        if (directory / f"ask-{number}").exists():
            alive = await asyncio.gather(*map(_answers, streams))
            streams = [stream for stream, answers in zip(streams, alive) if answers]
            _write(directory / f"alive-{number}", str(len(streams)))
            number += 1
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", port]:
            asyncio.run(serve(int(port)))
        case ["hold", address, port, count, directory]:
            asyncio.run(hold(address, int(port), int(count), Path(directory)))
        case _:
            sys.exit(__doc__)
