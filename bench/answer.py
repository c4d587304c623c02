#!/usr/bin/python3 -ISB
"""What is behind the tunnels of the benchmarks, on port 7000 of the internal host. Line by line, it is told:

ping      it answers "pong"
send N    it sends N bytes
take N    it answers "go", reads N bytes, then answers "taken"
"""
import os
import socket
import threading

# Random, and longer than what a compressor looks back on.
BLOCK = memoryview(os.urandom(1 << 18))


def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = bytearray(1 << 18)
    line = b""
    try:
        while True:
            # A client waits for the answer before it asks again: what arrives is one request.
            while not line.endswith(b"\n"):
                part = connection.recv(64)
                if not part:
                    return
                line += part
            word, _, number = line.decode().strip().partition(" ")
            line = b""
            if word == "ping":
                connection.sendall(b"pong\n")
            elif word == "send":
                left = int(number)
                while left > 0:
                    left -= connection.send(BLOCK[: min(left, len(BLOCK))])
            elif word == "take":
                connection.sendall(b"go\n")
                left = int(number)
                while left > 0:
                    got = connection.recv_into(buffer, min(left, len(buffer)))
                    if got == 0:
                        return
                    left -= got
                connection.sendall(b"taken\n")
    except OSError:
        pass
    finally:
        connection.close()


listener = socket.create_server(("0.0.0.0", 7000), backlog=512)
while True:
    client, _ = listener.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
