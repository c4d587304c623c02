import { connect } from "node:net";

/** Connects and requests one line; resolves with the answer, rejects if there is none or the signal comes first. */
export function ask(host: string, port: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true });
    const end = (error?: Error) => {
      signal.removeEventListener("abort", abort);
      socket.destroy();
      if (error) reject(error);
      else resolve();
    };
    const abort = () => end(new Error("no answer in time"));
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort);
    socket.once("connect", () => socket.write("ping\n"));
    socket.once("data", (data) =>
      end(data.toString() === "pong\n" ? undefined : new Error("another answer")),
    );
    socket.once("error", end);
    socket.once("close", () => end(new Error("closed without an answer")));
  });
}
