import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { remote, type types } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { RandomId, RandomInteger } from "@pulumi/random";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type LabStack, openStack } from "../../lab/stack.ts";
import { newSshKey } from "../support/sshKey.ts";
import { type SshServer, startSshServer } from "./sshServer.ts";

type Connection = types.input.remote.ConnectionArgs;
type Program = () => Record<string, unknown> | void;

let server: SshServer;
let directory: string;
let stack: LabStack;
let program: Program;
let log: string;

beforeAll(async () => {
  server = await startSshServer();
});

afterAll(() => server.close());

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lab-providers-"));
  log = join(directory, "log");
  program = () => undefined;
  stack = await openStack({
    project: "providers",
    stack: "test",
    directory,
    // eslint-disable-next-line @typescript-eslint/require-await -- the Automation API asks for a promise
    program: async () => program(),
  });
});

afterEach(async () => {
  program = () => undefined;
  await stack.destroy();
  await rm(directory, { recursive: true });
});

function connection(overrides: Partial<Connection> = {}): Connection {
  const { port, privateKey, hostKey } = server;
  return { host: "127.0.0.1", user: "anyone", port, privateKey, hostKey, dialErrorLimit: 1, ...overrides };
}

/** A command that logs its arguments and its standard input. */
function noting(args: Partial<remote.CommandArgs> = {}, name = "one"): remote.Command {
  return new remote.Command(name, {
    connection: connection(),
    create: `echo "create $(cat)" >> ${log}; echo created`,
    update: `echo "update $(cat)" >> ${log}; echo updated`,
    delete: `echo "delete $(cat)" >> ${log}`,
    stdin: "a",
    addPreviousOutputInEnv: false,
    ...args,
  });
}

const noted = async () => (await readFile(log, "utf8")).trim().split("\n");

const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail("it succeeded"),
    (error: Error) => error.message,
  );

describe("remote.Command", () => {
  it("runs its create command, and returns its output without the last newline", async () => {
    program = () => {
      const { stdout, stderr } = new remote.Command("one", {
        connection: connection(),
        create: "printf 'a\\n\\n'; printf 'b\\n' >&2",
      });
      return { stdout, stderr };
    };
    const { outputs, changes } = await stack.up();
    expect(outputs).toEqual({ stdout: "a\n", stderr: "b" });
    expect(changes.create).toBe(2);
  });

  it("updates in place if its standard input changes, with the update command", async () => {
    program = () => ({ stdout: noting({ stdin: "a" }).stdout });
    await stack.up();
    program = () => ({ stdout: noting({ stdin: "b" }).stdout });
    const { changes, outputs } = await stack.up();
    expect(changes).toMatchObject({ update: 1, same: 1 });
    expect(outputs).toEqual({ stdout: "updated" });
    expect(await noted()).toEqual(["create a", "update b"]);
  });

  it("uses the create command for an update if there is no update command", async () => {
    program = () => void noting({ stdin: "a", update: undefined });
    await stack.up();
    program = () => void noting({ stdin: "b", update: undefined });
    await stack.up();
    expect(await noted()).toEqual(["create a", "create b"]);
  });

  it("updates in place if its connection changes", async () => {
    program = () => void noting();
    await stack.up();
    program = () => void noting({ connection: connection({ perDialTimeout: 3 }) });
    expect((await stack.up()).changes).toMatchObject({ update: 1, same: 1 });
  });

  it.each([
    ["changed", ["1"], ["2"]],
    ["added", undefined, ["1"]],
    ["removed", ["1"], undefined],
  ])(
    "is replaced if its triggers are %s: the new one is created before the old one is deleted",
    async (_, olds, news) => {
      program = () => void noting({ triggers: olds, stdin: "old" });
      await stack.up();
      program = () => void noting({ triggers: news, stdin: "new" });
      expect((await stack.up()).changes).toMatchObject({ replace: 1, same: 1 });
      expect(await noted()).toEqual(["create old", "create new", "delete old"]);
    },
  );

  it("is left alone if nothing changed", async () => {
    program = () => void noting();
    await stack.up();
    const logins = server.logins.accepted;
    expect((await stack.up()).changes).toEqual({ same: 2 });
    expect(server.logins.accepted).toBe(logins);
  });

  it("deletes with the inputs of the last successful operation", async () => {
    program = () => void noting({ stdin: "a" });
    await stack.up();
    program = () => void noting({ stdin: "b", update: "exit 1", delete: "echo other" });
    await failure(stack.up());
    expect((await stack.destroy()).changes).toEqual({ delete: 2 });
    expect(await noted()).toEqual(["create a", "delete a"]);
  });

  it("keeps its connection and a secret input out of the state in plain text", async () => {
    program = () => void noting({ stdin: pulumi.secret("the secret input") });
    await stack.up();
    const state = join(directory, "state");
    const files = await readdir(state, { recursive: true, withFileTypes: true });
    const texts = await Promise.all(
      files.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name), "utf8")),
    );
    expect(texts.join()).toContain("command:remote:Command");
    for (const text of texts) {
      expect(text).not.toContain("the secret input");
      expect(text).not.toContain("OPENSSH PRIVATE KEY");
      expect(text).not.toContain("perDialTimeout");
    }
    expect(await noted()).toEqual(["create the secret input"]);
  });

  it("shows its outputs as unknown only in the preview of a create or an update", async () => {
    const inputOf: string[] = [];
    const pair = (stdin: string) => () => {
      const first = noting({ stdin });
      const second = noting({ stdin: first.stdout }, "two");
      second.stdin.apply((text) => inputOf.push(text ?? ""));
    };
    program = pair("a");
    expect((await stack.preview()).changes).toEqual({ create: 3 });
    expect(inputOf).toEqual([]);
    await stack.up();
    expect((await stack.preview()).changes).toEqual({ same: 3 });
    program = pair("b");
    inputOf.length = 0;
    expect((await stack.preview()).changes).toEqual({ same: 1, update: 2 });
    expect(inputOf).toEqual([]);
  });

  it("refuses a host whose key is not the pinned one", async () => {
    const logins = server.logins.accepted + server.logins.refused;
    program = () => void noting({ connection: connection({ hostKey: newSshKey().publicLine }) });
    const message = await failure(stack.up());
    expect(message).toContain("one: after 1 failed attempts: ssh: handshake failed: ssh: host key mismatch");
    expect(server.logins.accepted + server.logins.refused).toBe(logins);
  });

  it("gives up after the limit of failed dials if the login is refused", async () => {
    const refused = server.logins.refused;
    program = () =>
      void noting({ connection: connection({ privateKey: newSshKey().privateKey, dialErrorLimit: 2 }) });
    const message = await failure(stack.up());
    expect(message).toContain(
      "one: after 2 failed attempts: ssh: handshake failed: ssh: unable to authenticate, " +
        "attempted methods [none publickey], no supported methods remain",
    );
    expect(server.logins.refused - refused).toBe(3);
  });

  it("reports that a port is closed", async () => {
    const port = await closedPort();
    program = () => void noting({ connection: connection({ port }) });
    expect(await failure(stack.up())).toContain(
      `one: after 1 failed attempts: dial tcp 127.0.0.1:${port}: connect: connection refused`,
    );
  });

  it("reports that the other side reset the connection", async () => {
    const listener = createServer((socket) => void socket.once("data", () => socket.resetAndDestroy()));
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    const { port } = listener.address() as AddressInfo;
    program = () => void noting({ connection: connection({ port }) });
    expect(await failure(stack.up())).toMatch(
      /one: after 1 failed attempts: ssh: handshake failed: read tcp 127\.0\.0\.1:\d+->127\.0\.0\.1:\d+: read: connection reset by peer$/,
    );
    listener.close();
  });

  it("shows what a command writes while it runs, line by line, unless logging excludes it", async () => {
    const create = "echo one; echo two; echo three; sleep 0.2; echo four >&2";
    program = () => void noting({ create, stdin: "" });
    const { stdout } = await stack.up();
    expect(stdout).toMatch(/creating .*one\n[^]*creating .*two\n[^]*creating .*three\n[^]*creating .*four\n/);
    await stack.destroy();
    program = () => void noting({ create, stdin: "", logging: "stderr" });
    const quieter = (await stack.up()).stdout;
    expect(quieter).toMatch(/creating .*four\n/);
    expect(quieter).not.toMatch(/creating .*two\n/);
  });

  it("keeps one connection for each command until the provider ends", async () => {
    const logins = server.logins.accepted;
    program = () => {
      for (let i = 1; i <= 4; i++) noting({ create: "true", delete: undefined, stdin: "" }, `n${i}`);
    };
    await stack.up();
    expect(server.logins.accepted - logins).toBe(4);
    expect(server.most()).toBeGreaterThanOrEqual(4);
  });

  it("reports a failing command's line, status and output, but not its standard input", async () => {
    const create = `cat >/dev/null; echo "some" 'output'; echo errors >&2; exit 7`;
    program = () => void noting({ create, stdin: "the input" });
    const message = await failure(stack.up());
    expect(message).toContain(
      'one: Process exited with status 7: running "cat >/dev/null; echo \\"some\\" \'output\'; echo errors >&2; exit 7":\n',
    );
    expect(message).toMatch(/:\n(some output\nerrors|errors\nsome output)/);
    expect(message).not.toContain("the input");
    expect(await stack.export()).not.toMatchObject({
      deployment: {
        resources: expect.arrayContaining([
          expect.objectContaining({ type: "command:remote:Command" }),
        ]) as unknown,
      },
    });
  });

  it("reports which signal ended a command", async () => {
    program = () => void noting({ create: "kill -TERM $$", stdin: "" });
    expect(await failure(stack.up())).toContain(
      "one: Process exited with status 143 from signal TERM: running",
    );
  });

  it("reaches a host through a proxy", async () => {
    const proxy = await startSshServer();
    try {
      const hop = {
        host: "127.0.0.1",
        port: proxy.port,
        user: "hop",
        privateKey: proxy.privateKey,
        hostKey: proxy.hostKey,
      };
      program = () => void noting({ connection: connection({ proxy: hop }) });
      await stack.up();
      expect(proxy.forwarded).toEqual([server.port]);
      expect(await noted()).toEqual(["create a"]);
      await stack.destroy();
    } finally {
      await proxy.close();
    }
  });

  it("names the proxy in errors on the way to it and from it", async () => {
    const proxy = await startSshServer();
    try {
      const hop = {
        host: "127.0.0.1",
        port: proxy.port,
        user: "hop",
        privateKey: proxy.privateKey,
        dialErrorLimit: 0,
      };
      program = () =>
        void noting({ connection: connection({ proxy: { ...hop, hostKey: newSshKey().publicLine } }) });
      expect(await failure(stack.up())).toContain(
        "one: proxy: after 0 failed attempts: ssh: handshake failed: ssh: host key mismatch",
      );
      program = () =>
        void noting({
          connection: connection({ hostKey: newSshKey().publicLine, dialErrorLimit: 0, proxy: hop }),
        });
      expect(await failure(stack.up())).toContain(
        "one: proxy: after 0 failed attempts: ssh: handshake failed: ssh: host key mismatch",
      );
    } finally {
      await proxy.close();
    }
  });

  it("accepts a megabyte of text on standard input", async () => {
    const stdin = "0123456789abcdef".repeat(65_536);
    program = () => ({ stdout: noting({ stdin, create: "wc -c" }).stdout });
    expect((await stack.up()).outputs).toEqual({ stdout: "1048576" });
  });
});

describe("RandomInteger", () => {
  const draw =
    (keepers: Record<string, string>, max = 1_000_000) =>
    () => ({
      result: new RandomInteger("number", { min: 1, max, keepers }).result,
    });

  it("stays the same from one up to the next", async () => {
    program = draw({ a: "1" });
    const first = await stack.up();
    const second = await stack.up();
    expect(second.changes).toEqual({ same: 2 });
    expect(second.outputs).toEqual(first.outputs);
    expect(first.outputs.result).toBeTypeOf("number");
  });

  it("is replaced if its keepers or its range change", async () => {
    program = draw({ a: "1" });
    const first = await stack.up();
    program = draw({ a: "2" });
    const second = await stack.up();
    expect(second.changes).toMatchObject({ replace: 1, same: 1 });
    expect(second.outputs).not.toEqual(first.outputs);
    program = draw({ a: "2" }, 10);
    const third = await stack.up();
    expect(third.changes).toMatchObject({ replace: 1 });
    expect(third.outputs.result).toBeLessThanOrEqual(10);
  });
});

describe("RandomId", () => {
  const draw = (byteLength: number, prefix?: string) => () => {
    const { id, hex, dec, b64Std, b64Url } = new RandomId("id", { byteLength, prefix });
    return { id, hex, dec, b64Std, b64Url };
  };

  it("has the same bytes in each of its notations, and new bytes if its length or prefix changes", async () => {
    program = draw(8);
    const { hex, ...others } = (await stack.up()).outputs as Record<string, string>;
    expect(hex).toMatch(/^[0-9a-f]{16}$/);
    const bytes = Buffer.from(hex!, "hex");
    expect(others).toEqual({
      id: bytes.toString("base64url"),
      dec: BigInt(`0x${hex}`).toString(),
      b64Std: bytes.toString("base64"),
      b64Url: bytes.toString("base64url"),
    });
    program = draw(4, "x-");
    const { changes, outputs } = await stack.up();
    expect(changes).toMatchObject({ replace: 1, same: 1 });
    expect(outputs.hex).toMatch(/^x-[0-9a-f]{8}$/);
  });
});

async function closedPort(): Promise<number> {
  const listener = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => listener.once("listening", resolve));
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => listener.close(resolve));
  return port;
}
