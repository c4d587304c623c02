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
  test("has its own file for its record, whose name contains no pattern, whatever the script is called", async () => {
    const recording = await record(() => remoteScript("../a*[b] 'ü'?", { host: gate, ...args }, {}));
    expect(recording.command("../a*[b] 'ü'?").values.RESOURCE).toBe("..%2Fa%2A%5Bb%5D%20'%C3%BC'%3F");
  });

  test("has no inputs except the connection, three short command lines, its text, and where its messages go", async () => {
    const { inputs } = await commandOn(gate);
    expect({ ...inputs, stdin: parseCommand(inputs.stdin as string) }).toEqual({
      ...applyAndRemove("sh -s --"),
      connection: {
        host: "198.18.0.2",
        user: "root",
        hostKey,
        // The defaults of @pulumi/command itself.
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

  test("uses sudo if the admin is not root", async () => {
    expect((await commandOn(nas)).inputs).toMatchObject(applyAndRemove("sudo -n sh -s --"));
  });

  test("becomes root in the way that the check of the host found", async () => {
    const host = { ...nas, rootShell: pulumi.output("/opt/sudo sh -s --") };
    expect((await commandOn(host)).inputs).toMatchObject(applyAndRemove("/opt/sudo sh -s --"));
  });

  test("needs no way to become root if the admin is root", async () => {
    const host = { ...gate, rootShell: "/opt/sudo sh -s --" };
    expect((await commandOn(host)).inputs).toMatchObject(applyAndRemove("sh -s --"));
  });

  test("needs no sudo if the connection names no user, since the provider then logs in as root", async () => {
    const connection = { host: "198.18.0.2", hostKey };
    expect((await commandOn({ name: "gate", connection })).inputs).toMatchObject(applyAndRemove("sh -s --"));
  });

  test("runs as the admin if it is told to, whatever the admin's PATH is", async () => {
    expect((await commandOn(nas, { first: true })).inputs).toMatchObject(applyAndRemove("/bin/sh -s --"));
    expect((await commandOn(gate, { first: true })).inputs).toMatchObject(applyAndRemove("sh -s --"));
  });

  test("keeps the connection secret", async () => {
    expect((await commandOn(gate)).secrets).toContain("connection");
  });

  test("has an error hook, which explains the provider's messages", async () => {
    expect((await commandOn(gate)).errorHooks).toEqual(["nas-script-advice"]);
  });

  test("carries the host's revision, so that a changed revision runs it again", async () => {
    const { values } = await commandOn({ ...gate, revision: pulumi.output("7") });
    expect(values.REVISION).toBe("7");
  });

  test("carries the id of its host's stack", async () => {
    const { values } = await commandOn({ ...gate, stackId: pulumi.output("a1b2") });
    expect(values.STACK_ID).toBe("a1b2");
  });

  test("has a valid file name for its record on the host, whatever the script is called", async () => {
    const recording = await record(() => remoteScript("a/b c", { host: gate, ...args }, {}));
    expect(recording.command("a/b c").values.RESOURCE).toBe("a%2Fb%20c");
    expect((await commandOn(gate, { record: "d/e f" })).values.RESOURCE).toBe("d%2Fe%20f");
  });

  test("runs no command when it is deleted if it has nothing to undo", async () => {
    const { inputs } = await commandOn(gate, { removes: false });
    expect(inputs).toMatchObject({ create: "sh -s -- apply", update: "sh -s -- apply" });
    expect(Object.keys(inputs)).not.toContain("delete");
  });

  test("describes a host behind a tunnel as such, since its address is not informative", async () => {
    const { values } = await commandOn({ ...nas, throughTunnel: "gate" });
    expect(values.HOST).toBe("nas (through its tunnel to gate)");
    const { result } = await record(() => promiseOf(hostLabel(nas)));
    expect(result).toBe("nas (198.18.0.3)");
  });
});

describe("a script that keeps stale things", () => {
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

  test("declares it, and another script knows its record and its token", async () => {
    const [one, , settle] = await settled(`Welcome!\ntoken ${uuid}`);
    expect(one).toMatchObject({ STALE: "keep", RESOURCE: "one%20%2A" });
    expect(settle).toMatchObject({ SETTLES: "one%20%2A other", TOKENS: fingerprintOf(`,${uuid}`) });
    expect(settle).not.toHaveProperty("STALE");
  });

  test.each(["", "token", `token ${uuid}x`, `x token ${uuid}`, "token '; id #", "token ../../x"])(
    "has no token if it prints %j",
    async (printed) => {
      expect((await settled(printed)).at(-1)).toMatchObject({ TOKENS: fingerprintOf(",") });
    },
  );

  test("leaves the other script's inputs known in the preview of a first deployment", async () => {
    expect((await settled("", true)).at(-1)).toMatchObject({ TOKENS: fingerprintOf(",") });
  });

  test("can be removed by another script, which knows the order of the records", async () => {
    expect((await settled("")).map(({ RECORDS }) => RECORDS)).toEqual([
      undefined,
      undefined,
      "settle one%20%2A",
    ]);
  });
});

test("names of what belongs to a stack begin with its project and the stack", async () => {
  const { result } = await record(() => ownerId());
  expect(result).toBe("ssh-reverse-tunnel-dev");
});

describe("a script's text", () => {
  const text = partText("knownHost", { KEYS: "it's\ntwo lines" });

  test("is the header, then the library, then the script, and finally a call of main", () => {
    expect(text.startsWith("KEYS='it'\\''s\ntwo lines'\nTAB=")).toBe(true);
    expect(text.endsWith('\nmain "$@"\n')).toBe(true);
    expect(headerOf(text).values).toEqual({ KEYS: "it's\ntwo lines" });
  });

  test("includes only the named parts of the library if it runs before the tools are installed", () => {
    expect(partText("hostFacts", {})).not.toContain("\nsweep() {\n");
    expect(text).toContain("\nsweep() {\n");
  });

  test("calls main once and at the end, so that no child process can consume the rest of it", () => {
    expect(text.match(/^main /gm)).toHaveLength(1);
  });
});

describe("a login", () => {
  const limits = async (args: Partial<RemoteScriptArgs>, connection: Partial<Host["connection"]> = {}) => {
    const { inputs } = await commandOn({ ...gate, connection: { ...gate.connection, ...connection } }, args);
    return (inputs.connection as { dialErrorLimit: number }).dialErrorLimit;
  };

  test("is tried only a few times by the first script on a host, because of fail2ban, and more often by the others", async () => {
    expect(await limits({ first: true })).toBe(2);
    expect(await limits({})).toBe(10);
  });

  test("is also tried only a few times by a script that may have locked itself out", async () => {
    expect(await limits({ ifRefused: "it goes back by itself" })).toBe(2);
  });

  test("is tried as often as the connection says, if it says so", async () => {
    expect(await limits({ first: true }, { dialErrorLimit: 5 })).toBe(5);
    expect(await limits({}, { dialErrorLimit: 5 })).toBe(5);
  });
});
