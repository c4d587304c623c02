import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import program from "../index.ts";
import { record } from "../tools/mocks.ts";
import { setConfig, smallest, usual } from "./support/settings.ts";
import { expectStructure } from "./support/structure.ts";

const stackName = "ssh-reverse-tunnel-dev";
const deploy = (settings: Record<string, unknown>) => {
  setConfig(settings);
  return record(() => pulumi.runtime.runInPulumiStack(() => Promise.resolve(program())));
};

beforeEach(() => setConfig({}));
afterEach(() => setConfig({}));

/** Two tunnels between three hosts, with every setting. */
const everything = () => {
  const { publicHosts, internalHosts } = usual();
  return {
    publicHosts: {
      gate: { ...publicHosts.gate, allowUsers: ["root", "alice"], portRange: { first: 3000, last: 3999 } },
    },
    internalHosts: {
      nas: { ...internalHosts.nas, admin: { ...internalHosts.nas.admin, throughTunnel: "ssh" } },
      till: {
        ...internalHosts.nas,
        address: "198.18.0.4",
        account: "till",
        admin: { ...internalHosts.nas.admin, user: "admin" },
        forwards: {
          ssh: { remotePort: "auto", target: 22 },
          web: { remotePort: 8080, target: "192.168.1.5:80", listen: "all" },
        },
        logins: [
          { from: "root", to: "till" },
          { from: "alice", to: "till", alias: "shop" },
        ],
      },
    },
    revision: "7",
  };
};

describe("the program", () => {
  test("has a stack with the hosts and the tunnels below it, and all the rest below those", async () => {
    const recording = await deploy(everything());
    expectStructure(recording, [stackName]);
    const root = recording.resources.find(({ name }) => name === stackName)!;
    expect(recording.childrenOf(root)).toEqual([
      "InternalHost nas",
      "InternalHost till",
      "PublicHost gate",
      "RandomId stack-id",
      "ReverseTunnel nas",
      "ReverseTunnel till",
    ]);
  });

  test("needs 7 commands on the public host for a tunnel with two forwards and a login back, and 5 on the internal host", async () => {
    const { commands } = await deploy(usual());
    const on = (address: string) => commands.filter((command) => command.address === address).length;
    expect(on("198.18.0.2")).toBe(7);
    expect(on("198.18.0.3")).toBe(5);
    expect(commands).toHaveLength(12);
  });

  test("has a tunnel to each of several public hosts, whose commands are those of a single one", async () => {
    const { publicHosts, internalHosts } = smallest();
    const gates = { "gate-a": publicHosts.gate, "gate-b": publicHosts.gate };
    const of = (recording: Awaited<ReturnType<typeof deploy>>, tunnel: string) =>
      recording.commands.filter(({ name }) => name.startsWith(`${tunnel}-`)).map(({ parts }) => parts.length);
    const one = await deploy(smallest());
    const nas = { ...internalHosts.nas, publicHosts: Object.keys(gates) };
    const two = await deploy({ publicHosts: gates, internalHosts: { nas } });
    expect(of(two, "nas-gate-a")).toEqual(of(two, "nas-gate-b"));
    expect(of(two, "nas-gate-a")).toHaveLength(of(one, "nas").length - 2); // without those of the host
    expect(two.resources.filter(({ type }) => type.endsWith(":InternalHost"))).toHaveLength(1);
  });

  test("needs no more commands for more forwards", async () => {
    const { publicHosts, internalHosts } = usual();
    const many = Object.fromEntries(
      Array.from({ length: 20 }, (_, index) => [`f${index}`, { remotePort: "auto", target: 8000 + index }]),
    );
    const forwards = { ...internalHosts.nas.forwards, ...many };
    const { commands } = await deploy({
      publicHosts,
      internalHosts: { nas: { ...internalHosts.nas, forwards } },
    });
    expect(commands).toHaveLength(12);
  });

  test("passes the revision to every script", async () => {
    const { commands } = await deploy(everything());
    expect(new Set(commands.map(({ header }) => header.REVISION))).toEqual(new Set(["7"]));
  });

  test("passes the stack's id to every script", async () => {
    const { commands } = await deploy(everything());
    expect(new Set(commands.map(({ header }) => header.STACK_ID))).toEqual(new Set(["0123456789abcdef"]));
  });

  test.each([
    [8, "60"],
    [9, "120"],
    [18, "120"],
    [19, "180"],
  ])(
    "gives trials on one public and %i internal hosts %s seconds, since a confirmation waits for its turn",
    async (count, seconds) => {
      const { publicHosts, internalHosts } = smallest();
      const host = (index: number) => ({
        ...internalHosts.nas,
        address: `198.18.1.${index}`,
        forwards: { ssh: { remotePort: 3000 + index, target: 22 } },
      });
      const many = Object.fromEntries(
        Array.from({ length: count }, (_, index) => [`n${index}`, host(index)]),
      );
      const { commands } = await deploy({ publicHosts, internalHosts: many });
      const trials = commands.flatMap(({ header, parts }) => [header, ...parts.map(({ values }) => values)]);
      expect(new Set(trials.flatMap(({ TRIAL_SECONDS = [] }) => TRIAL_SECONDS))).toEqual(new Set([seconds]));
    },
  );

  test("uses sudo exactly if the admin is not root", async () => {
    const { commands } = await deploy(everything());
    const sudo = commands.filter(({ inputs }) => (inputs.create as string).startsWith("sudo "));
    expect(new Set(sudo.map(({ address }) => address))).toEqual(new Set(["198.18.0.4"]));
    expect(
      commands.filter(({ address }) => address === "198.18.0.4").filter((each) => !sudo.includes(each)),
    ).toEqual([expect.objectContaining({ name: "till-facts-script" })]);
  });

  test("reaches an internal host through its tunnel exactly if the settings say so", async () => {
    const { commands } = await deploy(everything());
    const through = commands.filter(({ header }) => header.HOST === "nas (through its tunnel to gate)");
    const proxied = commands.filter(({ inputs }) => "proxy" in (inputs.connection as object));
    expect(proxied).toEqual(through);
    expect(through).toHaveLength(6);
    for (const { inputs } of through) {
      expect(inputs.connection).toMatchObject({
        host: "127.0.0.1",
        port: 2222,
        proxy: { host: "198.18.0.2", port: 22 },
      });
    }
  });

  test("writes the same text and files on every run", async () => {
    const texts = async () =>
      Object.fromEntries(
        (await deploy(everything())).commands.map(({ name, inputs }) => [name, inputs.stdin]),
      );
    expect(await texts()).toEqual(await texts());
  });

  test("outputs where everything listens, how to log in, and which units there are", async () => {
    const { result } = await deploy(usual());
    expect(result).toMatchObject({
      endpoints: {
        nas: {
          ssh: { endpoint: "127.0.0.1:2222", target: "127.0.0.1:22" },
          web: { endpoint: "127.0.0.1:20345", target: "127.0.0.1:8080" },
        },
      },
      logins: { nas: [{ on: "gate", as: "root", command: "ssh nas" }] },
      units: {
        nas: {
          nas: ["ssh-tunnel-nas.service", "ssh-tunnel-nas-watchdog.timer"],
          gate: ["ssh-tunnels-ssh-reverse-tunnel-dev-health.timer"],
        },
      },
    });
  });

  test("makes nothing for a host that is skipped and has never been set up, and nothing for its tunnel", async () => {
    const { publicHosts, internalHosts } = usual();
    const till = { ...internalHosts.nas, address: "198.18.0.4", skip: true };
    till.forwards = { ...till.forwards, ssh: { remotePort: 2223, target: 22 } };
    const recording = await deploy({ publicHosts, internalHosts: { nas: internalHosts.nas, till } });
    expect(recording.commands).toHaveLength(12);
    expect(recording.resources.filter(({ name }) => name.startsWith("till"))).toEqual([]);
    expect(recording.result).toMatchObject({ endpoints: { nas: {} } });
    expect(recording.result).not.toHaveProperty("endpoints.till");
  });

  test("makes no tunnel to a public host that is skipped, nor an internal host that is reached through it", async () => {
    const { publicHosts, internalHosts } = usual();
    const { nas } = internalHosts;
    const till = {
      ...nas,
      address: "198.18.0.4",
      forwards: { ssh: { remotePort: 2223, target: 22 } },
      admin: { ...nas.admin, throughTunnel: "ssh" },
    };
    const gate = { ...publicHosts.gate, skip: true };
    const { commands, result } = await deploy({ publicHosts: { gate }, internalHosts: { nas, till } });
    expect(commands.map(({ name }) => name)).toEqual(["nas-facts-script", "nas-tools-script"]);
    expect(result).toEqual({ publicHosts: {}, endpoints: {}, logins: {}, units: {} });
  });

  test("makes the tunnels of an internal host to the public hosts that are not skipped", async () => {
    const { publicHosts, internalHosts } = smallest();
    const gates = { "gate-a": { ...publicHosts.gate, skip: true }, "gate-b": publicHosts.gate };
    const nas = { ...internalHosts.nas, publicHosts: Object.keys(gates) };
    const recording = await deploy({ publicHosts: gates, internalHosts: { nas } });
    const names = recording.resources.map(({ name }) => name);
    expect(names.filter((name) => name.startsWith("nas-gate-a") || name.startsWith("gate-a"))).toEqual([]);
    expect(Object.keys((recording.result as { endpoints: object }).endpoints)).toEqual(["nas-gate-b"]);
  });

  test("stops if a setting is wrong", async () => {
    setConfig({ ...smallest(), publicHosts: {} });
    await expect(record(program)).rejects.toThrow("the settings have one mistake; nothing was changed:");
  });
});
