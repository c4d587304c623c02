import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { deadAgents } from "../../components/settings/agents.ts";
import { loadConfig } from "../../components/settings/load.ts";
import { hostKey } from "../support/hosts.ts";
import { setConfig, smallest } from "../support/settings.ts";
import { record } from "../../tools/mocks.ts";
import { startAgent } from "../support/sshAgent.ts";

describe("an ssh-agent that does not answer is reported,", () => {
  let folder: string;
  let alive: Awaited<ReturnType<typeof startAgent>>;
  /** The socket of a process that was killed, which leaves it in place. */
  let killed: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "agents-"));
    alive = await startAgent();
    killed = join(folder, "killed");
    const agent = spawn("ssh-agent", ["-D", "-a", killed], { stdio: "ignore" });
    await vi.waitUntil(() => existsSync(killed), { timeout: 100_000 });
    agent.kill("SIGKILL");
    await once(agent, "exit");
    writeFileSync(join(folder, "file"), "");
  });
  afterAll(() => {
    alive.stop();
    rmSync(folder, { recursive: true });
  });

  const inherited = process.env.SSH_AUTH_SOCK;
  const inherit = (socket: string | undefined) => {
    if (socket === undefined) delete process.env.SSH_AUTH_SOCK;
    else process.env.SSH_AUTH_SOCK = socket;
  };
  afterEach(() => {
    inherit(inherited);
    setConfig({});
  });

  const gate = { host: "198.18.0.2", hostKey };

  test.each(["missing", "file", "killed"])("which is so if its socket is %s", (name) => {
    const agentSocketPath = join(folder, name);
    const why = name === "missing" ? "ENOENT" : "ECONNREFUSED";
    expect(deadAgents({ gate: { ...gate, agentSocketPath } })).toEqual([
      `gate: no ssh-agent answers on ${agentSocketPath} (${why}); start it, or correct agentSocketPath`,
    ]);
  });

  test("once, with all hosts that would use it, their bastions' logins included", () => {
    inherit(killed);
    const other = { ...gate, agentSocketPath: alive.path };
    expect(
      deadAgents({ gate, nas: { ...other, proxy: gate }, till: { ...gate, privateKey: "KEY" }, other }),
    ).toEqual([
      `gate, nas, till: no ssh-agent answers on ${killed} (ECONNREFUSED); start it, or unset SSH_AUTH_SOCK`,
    ]);
  });

  test("and not if there is none, or if it answers", () => {
    for (const socket of [undefined, "", alive.path]) {
      inherit(socket);
      expect(deadAgents({ gate }), socket).toEqual([]);
    }
  });

  test("with the other mistakes in the settings, before anything runs", async () => {
    inherit(killed);
    const { publicHosts, internalHosts } = smallest();
    setConfig({ publicHosts, internalHosts: { nas: { ...internalHosts.nas, timeoutSec: 0 } } });
    await expect(record(loadConfig)).rejects.toThrow(
      /^the settings have 2 mistakes; nothing was changed:\n {2}internalHosts\.nas\.timeoutSec: .*\n {2}gate: no ssh-agent answers on /,
    );
  });
});
