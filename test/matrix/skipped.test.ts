import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { remote } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { RandomInteger } from "@pulumi/random";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { KeptState } from "../../components/keptState.ts";
import { RunReport } from "../../components/remote/runReport.ts";
import { connectionAdvice, warningsOf } from "../../components/remote/connectionAdvice.ts";
import { type LabStack, openStack, StackError } from "../../lab/stack.ts";
import { type SshServer, startSshServer } from "./sshServer.ts";

// With the real engine, but with an SSH server of its own instead of hosts.

let server: SshServer;
let directory: string;
let stack: LabStack;
let program: () => Promise<Record<string, unknown> | void>;
let log: string;

beforeAll(async () => {
  server = await startSshServer();
});
afterAll(() => server.close());

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "skipped-"));
  log = join(directory, "log");
  stack = await openStack({
    project: "skipped",
    stack: "test",
    directory,
    program: () => program(),
    env: { PULUMI_CONTINUE_ON_ERROR: "true" },
  });
});
afterEach(async () => {
  program = () => Promise.resolve();
  await rm(directory, { recursive: true });
});

const type = (name: string) => `ssh-reverse-tunnel:index:${name}`;

class Component extends pulumi.ComponentResource {
  constructor(kind: string, name: string, outputs: object = {}, parent?: pulumi.Resource) {
    super(type(kind), name, {}, parent ? { parent } : {});
    this.registerOutputs(outputs);
  }
}

function script(
  name: string,
  parent: pulumi.Resource,
  dependsOn: pulumi.Resource[] = [],
  stdin = "1",
  port = server.port,
) {
  const { privateKey, hostKey } = server;
  return new remote.Command(
    name,
    {
      connection: { host: "127.0.0.1", user: "anyone", port, privateKey, hostKey, dialErrorLimit: 1 },
      create: `echo "create ${name} $(cat)" >>${log}; echo ${name}`,
      update: `echo "update ${name} $(cat)" >>${log}; echo ${name}`,
      delete: `echo "delete ${name}" >>${log}`,
      stdin,
      addPreviousOutputInEnv: false,
    },
    { parent, dependsOn },
  );
}

/** What InternalHost and ReverseTunnel have, as far as names, types and dependencies go. */
function host(name: string, stdin = "1") {
  const component = new Component("InternalHost", name, { hostKeys: [`key of ${name}`] });
  const facts = script(
    `${name}-facts-script`,
    new Component("HostFacts", `${name}-facts`, {}, component),
    [],
    stdin,
  );
  const tools = script(
    `${name}-tools-script`,
    new Component("HostTools", `${name}-tools`, {}, component),
    [facts],
    stdin,
  );
  const tunnel = new Component("ReverseTunnel", name, { endpoints: { ssh: `endpoint of ${name}` } });
  const start = new RandomInteger(`${name}-on.gate-port-web`, { min: 1, max: 9 }, { parent: tunnel });
  const prepare = script(`${name}-prepare`, tunnel, [tools], stdin);
  const admit = script(`${name}-on.gate-admit`, tunnel, [prepare, start], stdin);
  const firewall = new Component("FirewallPorts", `${name}-on.gate-firewall-ports`, {}, tunnel);
  const change = script(`${name}-on.gate-firewall-ports-change`, firewall, [admit], stdin);
  script(`${name}-start`, tunnel, [change], stdin);
  return { value: start.result };
}

const noted = async () => (await readFile(log, "utf8").catch(() => "")).trim().split("\n").filter(Boolean);

interface Entry {
  urn: string;
  parent?: string;
  provider?: string;
  inputs?: unknown;
  outputs?: unknown;
  dependencies?: string[];
}
const inState = async (name: RegExp) => {
  const { resources } = (await stack.export()).deployment as unknown as { resources: Entry[] };
  return resources.filter(({ urn }) => name.test(urn.split("::").at(-1)!));
};
/** What is secret is encrypted anew each time. */
const withoutDependencies = (entries: Entry[]) =>
  (JSON.parse(JSON.stringify(entries).replaceAll(/"ciphertext":"[^"]*"/g, '"ciphertext":""')) as Entry[])
    .map(({ urn, parent, provider, inputs, outputs }) => ({ urn, parent, provider, inputs, outputs }))
    .sort((a, b) => (a.urn < b.urn ? -1 : 1));

const both = () => {
  const [nas, nas2] = [host("nas"), host("nas-2")];
  return Promise.resolve({ nas: nas.value, nas2: nas2.value });
};
const keepNas = (result?: (outputs: unknown) => void) => async () => {
  const state = await KeptState.read();
  const inside = state.keep("InternalHost", "nas");
  const tunnel = state.keep("ReverseTunnel", "nas", inside?.resources);
  result?.(tunnel?.outputs);
  host("nas-2");
};

describe("what is kept of the state", () => {
  it("is neither created, changed nor removed, and nothing connects to its host, in a preview and in an up", async () => {
    program = both;
    await stack.up();
    const before = withoutDependencies(await inState(/^nas(?!-2)/));
    expect(before).toHaveLength(12);
    const logins = server.logins.accepted;
    let outputs: unknown;
    program = keepNas((found) => (outputs = found));
    expect(Object.keys((await stack.preview()).changes)).toEqual(["same"]);
    const { changes } = await stack.up();
    expect(Object.keys(changes)).toEqual(["same"]);
    expect(withoutDependencies(await inState(/^nas(?!-2)/))).toEqual(before);
    expect(outputs).toEqual({ endpoints: { ssh: "endpoint of nas" } });
    expect(server.logins.accepted).toBe(logins);
    program = both;
    await stack.destroy();
  });

  it("can be changed again afterwards", async () => {
    program = both;
    await stack.up();
    program = keepNas();
    await stack.up();
    program = async () => {
      host("nas", "2");
      host("nas-2");
      return Promise.resolve();
    };
    const { changes } = await stack.up();
    expect(changes.update).toBe(6);
    expect(changes).not.toHaveProperty("create");
    expect(changes).not.toHaveProperty("delete");
    await stack.destroy();
  });

  it("is removed in the same order as without that", async () => {
    program = () => {
      host("nas");
      return Promise.resolve();
    };
    await stack.up();
    program = async () => {
      const state = await KeptState.read();
      const inside = state.keep("InternalHost", "nas");
      state.keep("ReverseTunnel", "nas", inside?.resources);
    };
    await stack.up();
    const before = (await noted()).length;
    await stack.destroy();
    expect((await noted()).slice(before)).toEqual(
      [
        ...["nas-start", "nas-on.gate-firewall-ports-change", "nas-on.gate-admit", "nas-prepare"],
        ...["nas-tools-script", "nas-facts-script"],
      ].map((name) => `delete ${name}`),
    );
  });

  it("is nothing if there has been nothing", async () => {
    program = keepNas((found) => expect(found).toBeUndefined());
    expect((await stack.preview()).changes).toEqual({ create: 13 });
    await stack.up();
    expect(await inState(/^nas(?!-2)/)).toEqual([]);
    await stack.destroy();
  });
});

describe("the summary of a run over many hosts", () => {
  /** Three hosts, of which one has no server, and a script that waits for it. */
  const three = (stdin: string, last: number) => () => {
    const report = new RunReport();
    for (const [name, port] of Object.entries({ a: server.port, b: server.port, c: last })) {
      const known = { name, connection: { host: "127.0.0.1", port }, report: report.of(name) };
      const warnings = [warningsOf(name, known)];
      const hooks = {
        onError: [connectionAdvice(name, known)],
        afterCreate: warnings,
        afterUpdate: warnings,
      };
      const { privateKey, hostKey } = server;
      const made = new remote.Command(
        name,
        {
          connection: { host: "127.0.0.1", port, privateKey, hostKey, dialErrorLimit: 1 },
          create: `echo ${name}`,
          stdin: name === "a" ? "1" : stdin,
        },
        { hooks },
      );
      report.of(name).add(made);
    }
    report.print();
    return Promise.resolve();
  };
  const summaryIn = (diagnostics: string[]) => diagnostics.filter((line) => line.includes("hosts: "));

  it("counts those that are up to date, changed and failed, each with its sentence, and the run fails", async () => {
    program = three("1", server.port);
    const first = await stack.up();
    expect(summaryIn(first.diagnostics)).toEqual(["info: 3 hosts: 0 up to date, 3 changed, 0 failed"]);
    expect(summaryIn((await stack.preview()).diagnostics)).toEqual([]);
    const second = await stack.up();
    expect(summaryIn(second.diagnostics)).toEqual(["info: 3 hosts: 3 up to date, 0 changed, 0 failed"]);
    program = three("2", 1);
    const error: unknown = await stack.up().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StackError);
    expect(summaryIn((error as StackError).diagnostics)).toEqual([
      "warning: 3 hosts: 1 up to date, 1 changed, 1 failed\n  failed: c (127.0.0.1) cannot be reached on port 1; check that it is on, that the address and port are right, and that no firewall is in the way",
    ]);
    program = three("1", server.port);
    await stack.up();
    await stack.destroy();
  });
});
