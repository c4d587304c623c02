import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import type { ResultPromise } from "execa";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rootShells } from "../../components/remote/rootShell.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import { partText } from "../../tools/parseCommand.ts";
import { journal } from "./support/journal.ts";
import { until } from "./support/until.ts";

const common = { HOST: "gate", OWNER: "owner", STACK_ID: "", WHAT: "the test", REVISION: "" };
const ours = partText("knownHost", {
  ...{ ...common, RESOURCE: "known-host", ACCOUNT: "root" },
  ...{ FILE: "x.known_hosts", KEYS: "x ssh-ed25519 AAAA" },
});

// Connections like those of Pulumi's provider: opened for a script, and never closed by the side that opened them.
describe("the SSH connection of a script", () => {
  let lab: Lab;
  let gate: Host;
  let number = 0;
  const opened: ResultPromise[] = [];

  beforeAll(async () => {
    lab = await Lab.up({ name: "connections", hosts: ["gate"] });
    gate = lab.host("gate");
  });
  afterAll(async () => {
    for (const each of opened) each.kill();
    await Lab.clear("connections");
  });

  /** A connection that is closed only by its own end and the host's. */
  async function open(...options: string[]) {
    const socket = join(lab.directory, `${++number}.sock`);
    const base = ["-F", lab.sshConfigFile, "-S", socket];
    const master = execa("ssh", [...base, "-M", "-N", ...options, "gate"], {
      reject: false,
      stdin: "ignore",
    });
    opened.push(master);
    const isReady = () => execa("ssh", [...base, "-O", "check", "gate"], { reject: false });
    await until("a connection", 60, async () => (await isReady()).exitCode === 0);
    return {
      isOpen: () => master.exitCode === null,
      run: (command: string, input = "", ...more: string[]) =>
        execa("ssh", [...base, ...more, "gate", command], { input, reject: false, timeout: 120_000 }),
      /** The host reports who has opened it. */
      end: async () => expect((await master).stderr).toContain("closed by remote host"),
    };
  }

  /** Long enough for a connection that should end. */
  const untilAnotherHasEnded = async () => {
    const other = await open();
    await other.run("sh -s -- apply", ours);
    await other.end();
  };

  const isThere = (path: string) => async () =>
    (await gate.run(`[ -e ${path} ]`, { allowFailure: true })).exitCode === 0;

  it("ends after the script, whose result has arrived", async () => {
    const connection = await open();
    const { stderr, exitCode } = await connection.run("sh -s -- apply && exit 7", ours);
    expect(stderr).toContain("changed: gate: ");
    expect(exitCode).toBe(7);
    await connection.end();
  });

  it("stays open while another session runs on it", async () => {
    const connection = await open();
    const session = connection.run("touch /run/hold && while [ -e /run/hold ]; do sleep 0.1; done; echo all");
    await until("the session", 60, isThere("/run/hold"));
    await connection.run("sh -s -- apply", ours);
    await untilAnotherHasEnded();
    expect(connection.isOpen()).toBe(true);
    await gate.run("rm /run/hold");
    expect((await session).stdout).toBe("all");
    await connection.end();
  });

  it("stays open while a process left by a session writes to it", async () => {
    const connection = await open();
    const writer = "{ while [ -e /run/hold ]; do sleep 0.1; done; echo late; } &";
    const session = connection.run(`touch /run/hold; sh -s -- apply; ${writer} exit 7`, ours);
    await until("the session", 60, isThere("/run/hold"));
    await untilAnotherHasEnded();
    expect(connection.isOpen()).toBe(true);
    await gate.run("rm /run/hold");
    expect(await session).toMatchObject({ stdout: "late", exitCode: 7 });
    await connection.end();
  });

  it("stays open while a forward on it is in use", async () => {
    const connection = await open("-L", `${join(lab.directory, "forward.sock")}:127.0.0.1:22`);
    const user = connect(join(lab.directory, "forward.sock"));
    expect(String((await once(user, "data"))[0])).toMatch(/^SSH-2.0-/); // sshd's own
    await connection.run("sh -s -- apply", ours);
    await untilAnotherHasEnded();
    expect(connection.isOpen()).toBe(true);
    user.destroy();
    await connection.end();
  });

  it.each(["127.0.0.1:9", "/run/listener.sock"])("stays open if it listens at %s", async (where) => {
    const connection = await open("-R", `${where}:127.0.0.1:9`);
    await connection.run("sh -s -- apply", ours);
    await untilAnotherHasEnded();
    expect(connection.isOpen()).toBe(true);
  });

  it("stays open if a person has logged in at a terminal", async () => {
    await gate.run("cat >/root/script", { input: ours });
    const connection = await open();
    await connection.run("sh -s -- apply </root/script", "", "-tt");
    await untilAnotherHasEnded();
    expect(connection.isOpen()).toBe(true);
  });

  it("ends after a removal, unless a removal waits for it to end", async () => {
    const waits = ours.replace(
      /^main "\$@"$/m,
      "comes_through_recorded() { :; }\nremove_when_session_ends() { :; }\n$&",
    );
    const connection = await open();
    expect((await connection.run("sh -s -- remove", waits)).stderr).toContain("as soon as it has ended");
    await untilAnotherHasEnded();
    expect(connection.isOpen()).toBe(true);
    const other = await open();
    expect((await other.run("sh -s -- remove", ours)).exitCode).toBe(0);
    await other.end();
  });

  it("ends after the check of a host by an admin who is not root", async () => {
    const connection = await open("-l", "admin");
    const facts = { ...common, RESOURCE: "facts", NEEDS_SERVER: "yes", ROOT_SHELLS: rootShells.join("\n") };
    const { stdout } = await connection.run("/bin/sh -s -- apply", partText("hostFacts", facts));
    expect(stdout).toContain("root-shell sudo -n sh -s --");
    await connection.end();
  });

  it("leaves no process of ours on the host when it has ended", async () => {
    for (const each of opened) each.kill();
    await until(
      "the last of them",
      60,
      async () =>
        (await gate.run("pgrep -fc '[c]lient_had_last_word'", { allowFailure: true })).stdout === "0",
    );
  });
});

describe("a run", () => {
  const PARALLEL = 4;
  const ROOM = PARALLEL + 4;
  const TUNNELS = ["a", "b", "c", "d", "e", "f", "g", "h"];
  let lab: Lab;

  beforeAll(async () => {
    lab = await Lab.up({ name: "connections-fleet", hosts: ["gate", "nas"] });
  });
  afterAll(() => Lab.clear("connections-fleet"));

  // A connection beyond the limit is not answered and is tried again, so this does not depend on timing.
  it("has no more sessions on a public host than concurrent commands and a few that are ending, however many tunnels it makes", async () => {
    const [gate, nas] = [lab.host("gate"), lab.host("nas")];
    const mayComeIn = `tcp dport 22 ip saddr != ${nas.address} ct state new ct count over ${ROOM} counter drop`;
    await gate.run(
      `nft add table inet room; nft 'add chain inet room in { type filter hook input priority 0; }'; nft add rule inet room in ${mayComeIn}`,
    );
    const tunnel = (name: string, index: number) => [
      name,
      {
        ...labAdmin(lab, nas),
        forwards: { ssh: { remotePort: 2222 + index, target: 22 } },
        logins: [{ from: "root", to: "root" }],
      },
    ];
    const stack = await openProgram(lab, {
      config: {
        publicHosts: { gate: labAdmin(lab, gate) },
        internalHosts: Object.fromEntries(TUNNELS.map(tunnel)) as Record<string, unknown>,
      },
      env: { PULUMI_PARALLEL: String(PARALLEL) },
    });
    await stack.up();
    const logins = (await journal(gate, "-u ssh")).match(/^Accepted publickey for root /gm)!;
    expect(logins.length).toBeGreaterThan(3 * ROOM);
    expect((await gate.run("ssh h hostname")).stdout).toBe("nas");
  });
});
