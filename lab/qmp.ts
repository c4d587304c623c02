import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { shellQuote } from "../components/remote/shellQuote.ts";
import { until } from "./exec.ts";

interface Answer {
  return?: unknown;
  error?: { desc: string };
}

/** Writes the memory of a running QEMU machine to a file, over its QMP socket, and leaves the machine stopped. */
export async function saveMemory(socketPath: string, file: string): Promise<void> {
  const socket = connect(socketPath);
  await once(socket, "connect");
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  const command = async (execute: string, args: object = {}): Promise<unknown> => {
    socket.write(JSON.stringify({ execute, arguments: args }) + "\n");
    // A greeting and events come before the answer.
    for (;;) {
      const line = await lines.next();
      if (line.done) throw new Error(`QEMU ended at ${execute}.`);
      const answer = JSON.parse(line.value) as Answer;
      if (answer.error) throw new Error(`QEMU refuses ${execute}: ${answer.error.desc}`);
      if ("return" in answer) return answer.return;
    }
  };
  try {
    await command("qmp_capabilities");
    // Not stopped before: it would resume stopped. 10 GB/s is no limit in practice.
    await command("migrate-set-parameters", { "max-bandwidth": 10_000_000_000, "downtime-limit": 60_000 });
    await command("migrate", { uri: `exec:cat >${shellQuote(file)}` });
    await until("QEMU to save the guest's memory", 120, async () => {
      const { status } = (await command("query-migrate")) as { status: string };
      if (status === "failed") throw new Error("QEMU cannot save the guest's memory.");
      return status === "completed";
    });
  } finally {
    socket.destroy();
  }
}
