import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import * as pulumi from "@pulumi/pulumi";
import { chooseWays, keepWay, type ThroughTunnel } from "../../components/remote/ways.ts";
import { record } from "../../tools/mocks.ts";

const through = (name: string): ThroughTunnel => ({
  tunnel: `nas-${name}`,
  publicHost: name,
  connection: { host: "127.0.0.1", port: 2222, proxy: { host: name } },
});
const both = { connection: through("gate-a").connection, ways: [through("gate-a"), through("gate-b")] };
const host = ({ proxy }: ThroughTunnel["connection"]) => (proxy as { host: string }).host;

/** The choice if these public hosts are down, in a run that is not a preview. */
async function choose(
  hosts: Parameters<typeof chooseWays>[0],
  down: string[] = [],
  preview = false,
  looks = false,
) {
  const tried: string[] = [];
  const { result } = await record(
    () =>
      chooseWays(hosts, looks, (connection) => {
        tried.push(host(connection));
        return Promise.resolve(down.includes(host(connection)) ? "Connection timed out" : undefined);
      }),
    preview,
  );
  return { chosen: result, tried };
}

describe("the way to an internal host", () => {
  let said: string[];
  beforeEach(() => {
    said = [];
    for (const level of ["info", "warn"] as const) {
      vi.spyOn(pulumi.log, level).mockImplementation((text) => {
        said.push(text);
        return Promise.resolve();
      });
    }
  });
  afterEach(() => vi.restoreAllMocks());

  test("is the first that answers", async () => {
    const { chosen } = await choose({ nas: both });
    expect(host(chosen.nas!.connection)).toBe("gate-a");
    expect(chosen.nas!.ways).toMatchObject({ through: "nas-gate-a", others: ["nas-gate-b"] });
  });

  test("is the next one if the first does not answer, and a warning names it and the reason", async () => {
    const { chosen } = await choose({ nas: both }, ["gate-a"]);
    expect(host(chosen.nas!.connection)).toBe("gate-b");
    expect(chosen.nas!.ways).toMatchObject({ through: "nas-gate-b", others: [] });
    expect(said).toEqual([
      "nas: trying its tunnels to gate-a, gate-b",
      "nas does not answer through its tunnel 'nas-gate-a' to gate-a: Connection timed out",
    ]);
  });

  test("is the first if none answers, so that the error is about that one", async () => {
    const { chosen } = await choose({ nas: both }, ["gate-a", "gate-b"]);
    expect(host(chosen.nas!.connection)).toBe("gate-a");
    expect(chosen.nas!.ways).toMatchObject({ through: "nas-gate-a", others: [] });
  });

  test("is the second port of a tunnel if the first does not answer", async () => {
    const [first, second] = [
      through("gate-a"),
      { ...through("gate-a"), connection: { ...through("gate-a").connection, port: 2223 } },
    ];
    const { result } = await record(() =>
      chooseWays({ nas: { connection: first.connection, ways: [first, second] } }, false, ({ port }) =>
        Promise.resolve(port === 2222 ? "Connection refused" : undefined),
      ),
    );
    expect(result.nas).toMatchObject({
      connection: { port: 2223 },
      ways: { through: "nas-gate-a", others: [] },
    });
  });

  test("is chosen without a line on standard output if the caller prints elsewhere", async () => {
    const lines: string[] = [];
    const say = (text: string) => Promise.resolve(lines.push(text));
    await record(() =>
      chooseWays({ nas: both }, false, () => Promise.resolve(undefined), { info: say, warn: say }),
    );
    expect(lines).toEqual(["nas: trying its tunnels to gate-a, gate-b"]);
    expect(said).toEqual([]);
  });

  test("is not through a public host that is skipped, which stays one of its ways in the state", async () => {
    const withSkipped = {
      connection: both.connection,
      ways: [{ ...through("gate-a"), skip: true }, through("gate-b")],
    };
    const { chosen, tried } = await choose({ nas: withSkipped });
    expect(tried).toEqual([]);
    expect(host(chosen.nas!.connection)).toBe("gate-b");
    expect(chosen.nas!.ways?.through).toBe("nas-gate-b");
    expect(chosen.nas!.ways?.all).toHaveLength(2);
    expect((await choose({ nas: { ...both, skip: true } })).tried).toEqual([]);
  });

  test("is not tried if there is only one, or in a preview", async () => {
    const one = { connection: both.connection, ways: [through("gate-a")] };
    const direct = { connection: { host: "192.0.2.1" }, ways: [] };
    const { chosen, tried } = await choose({ one, direct });
    expect(tried).toEqual([]);
    expect(chosen.one!.ways).toBeUndefined();
    expect(chosen.direct!.connection).toEqual({ host: "192.0.2.1" });
    expect((await choose({ nas: both }, [], true)).tried).toEqual([]);
    expect((await choose({ nas: both }, [], true, true)).tried).toEqual(["gate-a", "gate-b"]);
  });
});

describe("the way of a command that is in the state", () => {
  const all = [through("gate-a"), through("gate-b")];
  const inputs = { create: "apply", update: "apply", delete: "remove", stdin: "HOST='nas'" };
  const inState = (connection: object) =>
    Promise.resolve(
      // The provider adds its defaults.
      new Map([
        [
          "command:remote:Command::nas-start",
          { ...inputs, stdout: "", connection: { user: "root", ...connection } },
        ],
      ]),
    );

  const [prepare, admit] = ["prepare", "admit"].map((name) => new pulumi.DependencyResource(name));
  /** The options of a command whose connection is now by gate-b. */
  async function optionsOf(changes: Record<string, unknown> = {}, state = inState(all[0]!.connection)) {
    const connection = { ...all[1]!.connection, privateKey: pulumi.secret("key") };
    const props = { ...inputs, connection, ...changes };
    const admits = new Map<string, pulumi.Resource>([["nas-gate-a", admit!]]);
    const transform = keepWay({ through: "nas-gate-b", others: [], all, admits, state }, connection);
    const opts = { dependsOn: [prepare!] };
    const args = { custom: true, type: "command:remote:Command", name: "nas-start", props, opts };
    return (await transform(args))?.opts;
  }
  const ignored = async (...args: Parameters<typeof optionsOf>) => (await optionsOf(...args))?.ignoreChanges;
  const withKey = (key: string) => inState({ ...all[0]!.connection, privateKey: key });

  test("is kept if nothing else changes", async () => {
    expect(await ignored({}, withKey("key"))).toEqual(["connection"]);
    expect(await ignored({ stdin: pulumi.secret(inputs.stdin) }, withKey("key"))).toEqual(["connection"]);
  });

  test("is there until the command has been removed through it", async () => {
    expect((await optionsOf({}, withKey("key")))?.dependsOn).toEqual([prepare, admit]);
    const lasting = { ...inputs, delete: undefined };
    const state = new Map([
      [
        "command:remote:Command::nas-start",
        { ...lasting, connection: { ...all[0]!.connection, privateKey: "key" } },
      ],
    ]);
    const without = await optionsOf({ delete: undefined }, Promise.resolve(state as never));
    expect(without).toMatchObject({ ignoreChanges: ["connection"], dependsOn: [prepare] });
  });

  test.each<[string, Record<string, unknown>]>([
    ["its text", { stdin: "HOST='nas' WHAT='else'" }],
    ["its removal", { delete: undefined }],
  ])("is replaced if %s changes", async (_what, changes) => {
    expect(await ignored(changes, withKey("key"))).toBeUndefined();
  });

  test("is replaced if the login changes, or if it is not a way any more", async () => {
    expect(await ignored({}, withKey("another"))).toBeUndefined();
    expect(
      await ignored({}, inState({ ...through("gate-c").connection, privateKey: "key" })),
    ).toBeUndefined();
    expect(await ignored({}, inState({ host: "192.0.2.1", port: 22, privateKey: "key" }))).toBeUndefined();
  });

  test("is set if there is none yet", async () => {
    const empty: Awaited<ReturnType<typeof inState>> = new Map();
    expect(await ignored({}, Promise.resolve(empty))).toBeUndefined();
  });
});
