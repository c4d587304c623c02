import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import type { Host } from "../../components/index.ts";
import type { RemoteScriptArgs } from "../../components/remote/remoteScript.ts";
import { fingerprintOf } from "../../components/remote/fingerprint.ts";
import { hostLabel } from "../../components/remote/host.ts";
import { keptBy, ownerId, remoteScript } from "../../components/remote/remoteScript.ts";
import { gate, hostKey, nas } from "../support/hosts.ts";
import { record } from "../../tools/mocks.ts";
import { promiseOf } from "../support/promiseOf.ts";
import { headerOf, parseCommand, partText } from "../../tools/parseCommand.ts";

const args = { what: "the firewall", parts: [{ script: "firewallPorts", values: { PORTS: "8080" } }] };

const commandOn = async (host: Host, changes: Partial<RemoteScriptArgs> = {}) => {
  const recording = await record(() => remoteScript("nas-script", { host, ...args, ...changes }, {}));
  return recording.command("nas-script");
};

const applyAndRemove = (shell: string) => ({
  create: `${shell} apply`,
  update: `${shell} apply`,
  delete: `${shell} remove`,
});

describe("a remote script", () => {
  test("has a file of its own for its record, whatever it is called, which is no pattern", async () => {
    const recording = await record(() => remoteScript("../a*[b] 'ü'?", { host: gate, ...args }, {}));
    expect(recording.command("../a*[b] 'ü'?").values.RESOURCE).toBe("..%2Fa%2A%5Bb%5D%20'%C3%BC'%3F");
  });

  test("has no inputs but the connection, three short command lines, its text, and where its messages go", async () => {
    const { inputs } = await commandOn(gate);
    expect({ ...inputs, stdin: parseCommand(inputs.stdin as string) }).toEqual({
      ...applyAndRemove("sh -s --"),
      connection: {
        host: "198.18.0.2",
        user: "root",
        hostKey,
        // What @pulumi/command itself fills in.
        port: 22,
        dialErrorLimit: 10,
        perDialTimeout: 15,
      },
      stdin: {
        common: {
          HOST: "gate (198.18.0.2)",
          OWNER: "ssh-reverse-tunnel-dev",
          STACK_ID: "",
          RESOURCE: "nas-script",
          WHAT: "the firewall",
          REVISION: "",
        },
        parts: args.parts,
      },
      addPreviousOutputInEnv: false,
      logging: "stderr",
    });
  });

  test("goes through sudo where the admin is not root", async () => {
    expect((await commandOn(nas)).inputs).toMatchObject(applyAndRemove("sudo -n sh -s --"));
  });

  test("takes the way to be root that the look at the host found", async () => {
    const host = { ...nas, rootShell: pulumi.output("/opt/sudo sh -s --") };
    expect((await commandOn(host)).inputs).toMatchObject(applyAndRemove("/opt/sudo sh -s --"));
  });

  test("needs no way to be root where the admin is root", async () => {
    const host = { ...gate, rootShell: "/opt/sudo sh -s --" };
    expect((await commandOn(host)).inputs).toMatchObject(applyAndRemove("sh -s --"));
  });

  test("needs no sudo where the connection names nobody, since the provider then logs in as root", async () => {
    const connection = { host: "198.18.0.2", hostKey };
    expect((await commandOn({ name: "gate", connection })).inputs).toMatchObject(applyAndRemove("sh -s --"));
  });

  test("runs as the admin itself where it is told to, wherever the admin's PATH leads", async () => {
    expect((await commandOn(nas, { first: true })).inputs).toMatchObject(applyAndRemove("/bin/sh -s --"));
    expect((await commandOn(gate, { first: true })).inputs).toMatchObject(applyAndRemove("sh -s --"));
  });

  test("keeps the connection secret", async () => {
    expect((await commandOn(gate)).secrets).toContain("connection");
  });

  test("has an error hook, which explains what the provider says", async () => {
    expect((await commandOn(gate)).errorHooks).toEqual(["nas-script-advice"]);
  });

  test("carries the host's revision, so that another one runs it again", async () => {
    const { values } = await commandOn({ ...gate, revision: pulumi.output("7") });
    expect(values.REVISION).toBe("7");
  });

  test("carries the id of its host's stack", async () => {
    const { values } = await commandOn({ ...gate, stackId: pulumi.output("a1b2") });
    expect(values.STACK_ID).toBe("a1b2");
  });

  test("has a name for its record on the host that is a file name, whatever it is called", async () => {
    const recording = await record(() => remoteScript("a/b c", { host: gate, ...args }, {}));
    expect(recording.command("a/b c").values.RESOURCE).toBe("a%2Fb%20c");
    expect((await commandOn(gate, { record: "d/e f" })).values.RESOURCE).toBe("d%2Fe%20f");
  });

  test("that has nothing to undo runs no command when it is deleted", async () => {
    const { inputs } = await commandOn(gate, { removes: false });
    expect(inputs).toMatchObject({ create: "sh -s -- apply", update: "sh -s -- apply" });
    expect(Object.keys(inputs)).not.toContain("delete");
  });

  test("calls a host that it reaches through a tunnel by that, since its address says nothing", async () => {
    const { values } = await commandOn({ ...nas, throughTunnel: "gate" });
    expect(values.HOST).toBe("nas (through its tunnel to gate)");
    const { result } = await record(() => promiseOf(hostLabel(nas)));
    expect(result).toBe("nas (198.18.0.3)");
  });
});

describe("a script that keeps what is stale", () => {
  const uuid = "01234567-89ab-cdef-0123-456789abcdef";
  const settled = async (printed: string, preview = false) => {
    const recording = await record(
      () => {
        const one = remoteScript("one *", { host: gate, ...args, keepsStale: true }, {});
        const other = remoteScript("other", { host: gate, ...args, keepsStale: true }, {});
        const settles = [keptBy("one *", one.stdout), keptBy("other", other.stdout)];
        remoteScript("settle", { host: gate, ...args, settles, undoes: ["settle", "one *"] }, {});
      },
      preview,
      { firewallPorts: ({ RESOURCE }) => (RESOURCE === "other" ? printed : "") },
    );
    return recording.commands.map(({ header }) => header);
  };

  test("says so, and another knows its record and its token", async () => {
    const [one, , settle] = await settled(`Welcome!\ntoken ${uuid}`);
    expect(one).toMatchObject({ STALE: "keep", RESOURCE: "one%20%2A" });
    expect(settle).toMatchObject({ SETTLES: "one%20%2A other", TOKENS: fingerprintOf(`,${uuid}`) });
    expect(settle).not.toHaveProperty("STALE");
  });

  test.each(["", "token", `token ${uuid}x`, `x token ${uuid}`, "token '; id #", "token ../../x"])(
    "has no token where it prints %j",
    async (printed) => {
      expect((await settled(printed)).at(-1)).toMatchObject({ TOKENS: fingerprintOf(",") });
    },
  );

  test("leaves the other known in the preview of a first deployment", async () => {
    expect((await settled("", true)).at(-1)).toMatchObject({ TOKENS: fingerprintOf(",") });
  });

  test("may be removed by another, which knows the records in the order in which they go", async () => {
    expect((await settled("")).map(({ RECORDS }) => RECORDS)).toEqual([
      undefined,
      undefined,
      "settle one%20%2A",
    ]);
  });
});

test("what belongs to a stack is named after its project and the stack", async () => {
  const { result } = await record(() => ownerId());
  expect(result).toBe("ssh-reverse-tunnel-dev");
});

describe("a script's text", () => {
  const text = partText("knownHost", { KEYS: "it's\ntwo lines" });

  test("is the header, then the library, then the script, and a last line that calls main", () => {
    expect(text.startsWith("KEYS='it'\\''s\ntwo lines'\nTAB=")).toBe(true);
    expect(text.endsWith('\nmain "$@"\n')).toBe(true);
    expect(headerOf(text).values).toEqual({ KEYS: "it's\ntwo lines" });
  });

  test("has no more of the library than it names where it comes before the tools", () => {
    expect(partText("hostFacts", {})).not.toContain("\nsweep() {\n");
    expect(text).toContain("\nsweep() {\n");
  });

  test("calls main once and last, so that no child process can swallow the rest of it", () => {
    expect(text.match(/^main /gm)).toHaveLength(1);
  });
});

describe("a login", () => {
  const limits = async (args: Partial<RemoteScriptArgs>, connection: Partial<Host["connection"]> = {}) => {
    const { inputs } = await commandOn({ ...gate, connection: { ...gate.connection, ...connection } }, args);
    return (inputs.connection as { dialErrorLimit: number }).dialErrorLimit;
  };

  test("is tried seldom by the first script on a host, since fail2ban counts, and patiently by the others", async () => {
    expect(await limits({ first: true })).toBe(2);
    expect(await limits({})).toBe(10);
  });

  test("is tried seldom, too, by a script that may find that it has shut itself out", async () => {
    expect(await limits({ ifRefused: "it goes back by itself" })).toBe(2);
  });

  test("is tried as often as the connection says where it says so", async () => {
    expect(await limits({ first: true }, { dialErrorLimit: 5 })).toBe(5);
    expect(await limits({}, { dialErrorLimit: 5 })).toBe(5);
  });
});
