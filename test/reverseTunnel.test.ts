import { describe, expect, test } from "vitest";
import type { ReverseTunnelArgs } from "../components/index.ts";
import { InternalHost, PublicHost, ReverseTunnel } from "../components/index.ts";
import { fingerprintOf } from "../components/remote/fingerprint.ts";
import { bothEnds, gate, gateKeys, nas, nasKeys } from "./support/hosts.ts";
import type { Answers, Recording } from "../tools/mocks.ts";
import { hostKeysOf, publicKeyOf, record } from "../tools/mocks.ts";
import { promiseOf } from "./support/promiseOf.ts";

type Changes = Partial<ReverseTunnelArgs>;

const forwards = {
  ssh: { remotePort: 2222, target: 22 },
  web: { remotePort: "auto", target: 8080 },
} as const;
const logins = [{ from: "alice", to: "bob" }];
const open = { remotePort: 8080, target: 80, listen: "all" } as const;
const withOpen = { forwards: { ...forwards, open } };

const tunnel = (changes: Changes = {}, name = "nas", throughTunnel?: string) =>
  new ReverseTunnel(name, { ...bothEnds(throughTunnel), forwards, ...changes });

const deploy = (changes: Changes = {}, answers: Answers = {}) =>
  record(() => tunnel(changes), false, answers);

/** The same if Pulumi connects through the tunnel itself. */
const through = (changes: Changes = {}) => record(() => tunnel(changes, "nas", "gate"));

/** The values of the only part with that script in a stage. */
const partOf = async (stage: string, script: string, changes: Changes = {}) =>
  (await deploy(changes)).command(stage).part(script);

/** The commands of the tunnel, without those of the hosts, each with its parts. */
const stagesOf = (recording: Recording) =>
  Object.fromEntries(
    recording.commands
      .filter(({ name }) => !/-(facts|tools|server)-/.test(name))
      .map(({ name, address, parts }) => [
        `${name} ${address === gate.connection.host ? "outside" : "inside"}`,
        parts.map(({ script }) => script).join(" "),
      ]),
  );

describe("a tunnel's stages", () => {
  test("are what it needs on both hosts and nothing else", async () => {
    const recording = await deploy();
    expect(recording.childrenOf(recording.component("ReverseTunnel", "nas"))).toEqual([
      "Command nas-on.gate-admit",
      "Command nas-on.gate-settle",
      "Command nas-prepare",
      "Command nas-start",
      "RandomInteger nas-on.gate-port-web",
    ]);
    expect(stagesOf(recording)).toEqual({
      "nas-prepare inside": "account keyPair",
      "nas-on.gate-admit outside": "account remotePorts selinuxPorts authorizedKey",
      "nas-start inside": "tunnelService",
      "nas-on.gate-settle outside": "healthCheck tunnelCheck",
    });
  });

  test("have a part for each login and, for ports open to others, the firewall between them", async () => {
    const paths = [...logins, { from: "root", to: "root", alias: "my-nas" }];
    const recording = await deploy({ ...withOpen, logins: paths });
    expect(recording.childrenOf(recording.component("ReverseTunnel", "nas"))).toContain(
      "FirewallPorts nas-on.gate-firewall-ports",
    );
    expect(stagesOf(recording)).toEqual({
      "nas-prepare inside": "account keyPair",
      "nas-on.gate-admit outside": "account remotePorts selinuxPorts authorizedKey",
      "nas-on.gate-firewall-ports-change outside": "firewallPorts",
      "nas-on.gate-firewall-ports-confirm outside": "firewallPorts",
      "nas-on.gate-login-keys outside": "keyPair keyPair",
      "nas-start inside": "authorizedKey authorizedKey tunnelService",
      "nas-on.gate-settle outside":
        "knownHost clientConfig knownHost clientConfig healthCheck tunnelCheck loginCheck",
      "nas-finish inside": "",
    });
  });

  test("open each port to the networks and at the address of its forward, and no others", async () => {
    const web = { ...open, sources: ["203.0.113.0/24", "fd00::/8"] };
    const api = { remotePort: 8081, target: 81, listen: "198.18.0.2" };
    const { PORTS } = await partOf("nas-on.gate-firewall-ports-change", "firewallPorts", {
      forwards: { ...forwards, web, api },
    });
    expect(PORTS?.split("\n")).toEqual([
      "8080 from others",
      "8080 from 203.0.113.0/24",
      "8080 from fd00::/8",
      "8081 to 198.18.0.2",
    ]);
  });

  test("let nothing listen on a port for some networks before the firewall blocks the others", async () => {
    const waitsFor = async (changes: object) =>
      (await deploy({ forwards: { ...forwards, web: { ...open, ...changes } } })).command("nas-start")
        .waitsFor;
    const firewall = "nas-on.gate-firewall-ports-confirm";
    expect(await waitsFor({ sources: ["203.0.113.0/24"] })).toContain(firewall);
    expect(await waitsFor({})).not.toContain(firewall);
  });

  test("include no account of the tunnel's own if it runs as an existing account", async () => {
    const recording = await deploy({ account: "robot" });
    expect(stagesOf(recording)).toMatchObject({ "nas-prepare inside": "keyPair" });
    expect(recording.command("nas-prepare").part("keyPair")).toEqual({
      ACCOUNT: "robot",
      FILE: "nas.key",
      COMMENT: "robot@nas",
      TYPES: "ed25519 ecdsa",
    });
    const values = recording.command("nas-start").part("tunnelService");
    expect(values.ACCOUNT).toBe("robot");
    expect(values.SERVICE_UNIT).toContain("\nUser=robot\n");
    expect(values.CHECK_UNIT).toContain(" ACCOUNT=robot ");
    expect(recording.command("nas-on.gate-admit").part("account").ACCOUNT).toBe("tunnel-nas");
  });

  test.each([
    ["gate", { "nas-prepare": "ecdsa", "nas-on.gate-login-keys": "ed25519 ecdsa" }],
    ["nas", { "nas-prepare": "ed25519 ecdsa", "nas-on.gate-login-keys": "ecdsa" }],
  ])("make keys that the other host accepts, for example %s in FIPS mode", async (strict, types) => {
    const hostFacts = ({ HOST = "" }) =>
      HOST.startsWith(`${strict} `) ? ["key-types ecdsa", ...hostKeysOf(HOST)].join("\n") : undefined;
    const recording = await deploy({ logins: [{ from: "root", to: "root" }] }, { hostFacts });
    for (const [stage, expected] of Object.entries(types)) {
      expect(recording.command(stage).part("keyPair").TYPES).toBe(expected);
    }
  });

  test("use ports chosen in the same visit before they are known to Pulumi", async () => {
    const recording = await deploy();
    const admit = recording.command("nas-on.gate-admit");
    expect(admit.part("remotePorts")).toEqual({
      ACCOUNT: "tunnel-nas",
      FORWARDS:
        "ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback web,127.0.0.1,auto:20345,tcp,127.0.0.1,8080,loopback",
      RANGE: "20000 29999",
    });
    expect(admit.part("selinuxPorts")).toEqual({ PORTS: "2222\n@web@", INSTALL_PACKAGE: "yes" });
    expect(recording.command("nas-start").part("tunnelService").SERVICE_UNIT).toContain(
      " -R 127.0.0.1:2222:127.0.0.1:22 -R 127.0.0.1:20345:127.0.0.1:8080\n",
    );
  });
});

describe("the record of a tunnel", () => {
  const recordsIn = (recording: Recording) =>
    Object.fromEntries(
      recording.commands
        .filter(({ name }) => !/-(facts|tools|server)-/.test(name))
        .map(({ name, header, inputs }) => {
          const { RESOURCE, STALE, SETTLES, RECORDS } = header;
          return [name, { RESOURCE, STALE, SETTLES, RECORDS, removes: "delete" in inputs }];
        }),
    );
  const none = { STALE: undefined, SETTLES: undefined, RECORDS: undefined };
  const admit = "nas-on.gate-admit";
  const settle = "nas-on.gate-settle";
  const firewall = "nas-on.gate-firewall-ports";

  const loginKeys = "nas-on.gate-login-keys";

  test("is kept by the stages that add, settled by those that confirm, and removed by those with a delete command", async () => {
    expect(recordsIn(await deploy({ ...withOpen, logins }))).toEqual({
      "nas-prepare": { ...none, RESOURCE: "nas-prepare", STALE: "keep", removes: true },
      [admit]: { ...none, RESOURCE: admit, STALE: "keep", RECORDS: `${settle} ${admit}`, removes: true },
      [`${firewall}-change`]: { ...none, RESOURCE: firewall, STALE: "keep", removes: true },
      [`${firewall}-confirm`]: { ...none, RESOURCE: firewall, STALE: "keep", removes: false },
      [loginKeys]: { ...none, RESOURCE: loginKeys, STALE: "keep", removes: true },
      "nas-start": {
        ...none,
        RESOURCE: "nas-start",
        STALE: "renamed",
        SETTLES: "nas-prepare",
        RECORDS: "nas-start",
        removes: true,
      },
      "nas-finish": { ...none, RESOURCE: "nas-finish", SETTLES: "nas-start", removes: false },
      [settle]: { ...none, RESOURCE: settle, SETTLES: `${admit} ${loginKeys} ${firewall}`, removes: false },
    });
  });

  test("is settled on the internal host by the start, which keeps nothing if there are no logins", async () => {
    const recording = await deploy();
    expect(recording.command("nas-start").header).toMatchObject({ SETTLES: "nas-prepare" });
    expect(recording.command("nas-start").header).not.toHaveProperty("STALE");
    expect(recording.resources.map(({ name }) => name)).not.toContain("nas-finish");
  });

  test("keeps an earlier name of a login on the internal host until the new one is in place", async () => {
    const { OTHER_NAMES, MARKER } = await partOf("nas-start", "authorizedKey", {
      logins: [{ from: "svc.a", to: "bob", alias: "b" }],
    });
    const began = "ssh-reverse-tunnel:ssh-reverse-tunnel-dev/nas-on.gate-login-svc..a.";
    expect([OTHER_NAMES, MARKER]).toEqual([began, `${began}b`]);
    const { waitsFor } = (await deploy({ logins })).command("nas-finish");
    expect(waitsFor).toEqual(expect.arrayContaining(["nas-start", settle]));
  });

  test("is settled on the public host without the firewall if no port is open", async () => {
    expect((await deploy()).command(settle).header.SETTLES).toBe(admit);
  });

  test("is removed completely by the start on the internal host if Pulumi connects through the tunnel, as nobody can connect after that", async () => {
    const start = {
      RESOURCE: "nas-start",
      STALE: undefined,
      SETTLES: "nas-prepare",
      RECORDS: "nas-start nas-prepare",
    };
    expect(recordsIn(await through())).toMatchObject({
      "nas-prepare": { STALE: "keep", removes: false },
      "nas-start": { ...start, removes: true },
      "nas-confirm": { ...start, removes: false },
      [admit]: { RECORDS: `${settle} ${admit}`, removes: true },
    });
  });

  test("has a token, which runs the later stage again whenever there is something to settle", async () => {
    const token = (end: number) => `01234567-89ab-cdef-0123-456789abcde${end}`;
    const tokensOf = async (answers: Answers) => {
      const recording = await deploy(withOpen, answers);
      return ["nas-start", settle].map((name) => recording.command(name).header.TOKENS);
    };
    expect(await tokensOf({})).toEqual(["", ","].map(fingerprintOf));
    const answers: Answers = {
      account: ({ RESOURCE }) => `token ${token(RESOURCE === admit ? 2 : 1)}`,
      firewallPorts: ({ CONFIRM }) => `token ${token(CONFIRM === "yes" ? 3 : 4)}`,
    };
    expect(await tokensOf(answers)).toEqual([token(1), `${token(2)},${token(3)}`].map(fingerprintOf));
  });
});

describe("a tunnel's change on trial", () => {
  const trialsOf = (recording: Recording) =>
    recording.commands
      .filter(({ header }) => header.TRIAL === "tunnel-nas")
      .map(({ name, header }) => [name, header.CONFIRM, header.TRIAL_SECONDS]);

  test("is confirmed by the run that makes it if that cannot lock itself out", async () => {
    const recording = await deploy();
    expect(trialsOf(recording)).toEqual([["nas-start", "now", "60"]]);
    expect(recording.resources.map(({ name }) => name)).not.toContain("nas-confirm");
  });

  test("is confirmed by a new login, with the same parts, if Pulumi connects through the tunnel", async () => {
    const recording = await through({ logins });
    expect(trialsOf(recording)).toEqual([
      ["nas-start", "no", "60"],
      ["nas-confirm", "yes", "60"],
    ]);
    const [start, confirm] = ["nas-start", "nas-confirm"].map((name) => recording.command(name));
    expect(confirm!.parts).toEqual(start!.parts);
    expect(confirm!.waitsFor).toContain("nas-start");
    // The change itself may be the reason for a refused login, so the login is not retried.
    expect(confirm!.inputs.connection).toMatchObject({ dialErrorLimit: 2 });
  });

  test("is not rolled back before the time that the settings allow for the tunnel to come up", async () => {
    expect(trialsOf(await deploy({ timeoutSec: 120 }))).toEqual([["nas-start", "now", "150"]]);
  });
});

describe("names contain the tunnel and the hosts, and no other values:", () => {
  const namesOf = async (changes: Changes = {}) =>
    (await deploy({ logins, ...changes })).resources.map(({ name }) => name).sort();

  test("changed ports change no name", async () => {
    const ports = (ssh: number, web: number | "auto") => ({
      forwards: { ssh: { remotePort: ssh, target: 22 }, web: { ...open, remotePort: web } },
    });
    expect(await namesOf(ports(2223, 8081))).toEqual(await namesOf(ports(2222, 8080)));
    const withStart = [...(await namesOf(ports(2222, 8080))), "nas-on.gate-port-web"].sort();
    expect(await namesOf(ports(2222, "auto"))).toEqual(withStart);
  });

  test("a changed account changes no name, and the line of its key changes", async () => {
    expect(await namesOf({ account: "robot" })).toEqual(await namesOf());
    const markerOf = async (account?: string) =>
      (await partOf("nas-on.gate-admit", "authorizedKey", { account })).MARKER;
    const owner = "ssh-reverse-tunnel:ssh-reverse-tunnel-dev";
    expect(await markerOf()).toBe(`${owner}/nas-on.gate`);
    expect(await markerOf("robot")).toBe(`${owner}/nas-on.gate.robot`);
  });

  /** The names on each host. */
  const on = async (outside: string, inside = "nas") => {
    const { commands } = await record(
      () =>
        new ReverseTunnel("nas", {
          internalHost: new InternalHost(inside, { connection: nas.connection }),
          publicHost: new PublicHost(outside, { connection: gate.connection }),
          ...withOpen,
          logins,
        }),
    );
    const names = (host: typeof gate) =>
      commands.filter(({ address }) => address === host.connection.host).map(({ name }) => name);
    return { outside: names(gate), inside: names(nas) };
  };

  test("a changed public host changes all names on the public host, and none on the internal host", async () => {
    const [old, moved] = [await on("one"), await on("two")];
    expect(old.outside).toHaveLength(9);
    expect(moved.outside.filter((name) => old.outside.includes(name))).toEqual([]);
    expect(moved.inside).toEqual(old.inside);
  });

  test("a changed internal host changes all names on the internal host, which contain it if it differs from the tunnel's name", async () => {
    const { inside } = await on("gate", "shop");
    expect(inside.sort()).toEqual([
      "nas-on.shop-finish",
      "nas-on.shop-prepare",
      "nas-on.shop-start",
      "shop-facts-script",
      "shop-tools-script",
    ]);
  });

  test("the logins of any accounts and aliases have different lines", async () => {
    const paths = [
      { from: "svc-a", to: "bob", alias: "b" },
      { from: "svc", to: "bob", alias: "a-b" },
      { from: "svc", to: "bob", alias: "a.b" },
      { from: "svc.a", to: "bob", alias: "b" },
    ];
    const lines = (await deploy({ logins: paths })).command("nas-start").partsOf("authorizedKey");
    expect(lines.map(({ MARKER }) => MARKER!.split("/")[1])).toEqual([
      "nas-on.gate-login-svc-a.b",
      "nas-on.gate-login-svc.a-b",
      "nas-on.gate-login-svc.a.b",
      "nas-on.gate-login-svc..a.b",
    ]);
  });
});

describe("a new word for the keys", () => {
  const login = { from: "root", to: "root", alias: "my-nas" };

  /** The name of each key, its line in authorized_keys, and the key that each login uses. */
  const keysOf = (recording: Recording) => {
    const [prepare, admit, loginKeys, start, settle] = [
      "nas-prepare",
      "nas-on.gate-admit",
      "nas-on.gate-login-keys",
      "nas-start",
      "nas-on.gate-settle",
    ].map((name) => recording.command(name));
    const used = (text?: string) => /IdentityFile (.*)/.exec(text!)![1];
    return {
      files: [prepare!, loginKeys!].flatMap((each) => each.partsOf("keyPair").map(({ FILE }) => FILE)),
      lines: [admit!, start!].flatMap((each) =>
        each.partsOf("authorizedKey").map(({ MARKER }) => MARKER!.split("/")[1]),
      ),
      used: [start!.part("tunnelService"), ...settle!.partsOf("clientConfig")].map(({ ENTRY }) =>
        used(ENTRY),
      ),
    };
  };
  const id = fingerprintOf("2026-Q4").slice(0, 8);
  const folder = "~/.ssh/ssh-reverse-tunnel";

  test("is a new key of the tunnel and of each login, with lines of their own, in the same resources", async () => {
    const [before, after] = [
      await deploy({ logins: [...logins, login] }),
      await deploy({ logins: [...logins, login], keys: "2026-Q4" }),
    ];
    expect(keysOf(before)).toEqual({
      files: ["nas.key", "nas.key", "my-nas.key"],
      lines: ["nas-on.gate", "nas-on.gate-login-alice.nas", "nas-on.gate-login-root.my-nas"],
      used: [`${folder}/nas.key`, `${folder}/nas.key`, `${folder}/my-nas.key`],
    });
    expect(keysOf(after)).toEqual({
      files: [`nas.${id}.key`, `nas.${id}.key`, `my-nas.${id}.key`],
      lines: [
        `nas-on.gate~${id}`,
        `nas-on.gate-login-alice.nas~${id}`,
        `nas-on.gate-login-root.my-nas~${id}`,
      ],
      used: [`${folder}/nas.${id}.key`, `${folder}/nas.${id}.key`, `${folder}/my-nas.${id}.key`],
    });
    expect(after.resources.map(({ name }) => name)).toEqual(before.resources.map(({ name }) => name));
  });

  test("applies to one login alone if it is the login's", async () => {
    const { files } = keysOf(await deploy({ logins: [...logins, { ...login, keys: "2026-Q4" }] }));
    expect(files).toEqual(["nas.key", "nas.key", `my-nas.${id}.key`]);
    const nearest = { logins: [...logins, { ...login, keys: "2026-Q4" }], keys: "2026-Q3" };
    const older = fingerprintOf("2026-Q3").slice(0, 8);
    expect(keysOf(await deploy(nearest)).files).toEqual([
      `nas.${older}.key`,
      `nas.${older}.key`,
      `my-nas.${id}.key`,
    ]);
  });
});

describe("the port by which Pulumi reaches the internal host now", () => {
  const portOf = async (bastion: string) => {
    const recording = await record(() => {
      const connection = { ...nas.connection, host: "127.0.0.1", port: 2222, proxy: { host: bastion } };
      const internalHost = new InternalHost("nas", { connection });
      return new ReverseTunnel("nas", { ...bothEnds(), internalHost, forwards });
    });
    const { ADMIN_PORT, INSIDE } = recording.command("nas-on.gate-admit").part("remotePorts");
    return [ADMIN_PORT, INSIDE];
  };

  test("is known to the check of the ports if the public host is its bastion", async () => {
    expect(await portOf(gate.connection.host as string)).toEqual(["2222", "nas"]);
    expect(await portOf("bastion.example.org")).toEqual([undefined, undefined]);
  });
});

describe("least privilege", () => {
  test("gives the public account no home, and a shell only for its forced command", async () => {
    expect(await partOf("nas-on.gate-admit", "account")).toEqual({
      ACCOUNT: "tunnel-nas",
      GROUP: "ssh-tunnel",
      HOME_DIR: "/",
      LOGIN_SHELL: "/bin/sh",
    });
  });

  test("gives the internal account a home for its key, and no shell", async () => {
    expect(await partOf("nas-prepare", "account")).toEqual({
      ACCOUNT: "tunnel-nas",
      GROUP: "tunnel-nas",
      HOME_DIR: "/var/lib/tunnel-nas",
      LOGIN_SHELL: "/usr/sbin/nologin",
    });
  });

  test("lets the tunnel's key listen on its own ports, in a file that only root can write", async () => {
    const marker = "ssh-reverse-tunnel:ssh-reverse-tunnel-dev/nas-on.gate";
    const [type, key] = publicKeyOf("nas.key", "tunnel-nas@nas").split(" ");
    const command = 'command="/opt/ssh-reverse-tunnel/ssh-reverse-tunnel-dev/bin/evict-stale"';
    expect(await partOf("nas-on.gate-admit", "authorizedKey")).toEqual({
      ACCOUNT: "tunnel-nas",
      LINE: `restrict,port-forwarding,${command} ${type} ${key} ${marker}`,
      MARKER: marker,
      PERMITS: [
        'permitlisten="127.0.0.1:2222"',
        'permitlisten="127.0.0.1:@web@"',
        'permitopen="127.0.0.1:2222"',
        'permitopen="127.0.0.1:@web@"',
      ].join("\n"),
      TARGET_HOST: "",
      TARGET_PORT: "",
      FILE: "/etc/ssh/ssh-reverse-tunnel/tunnel-nas.keys",
    });
  });

  test("admits the key of a login only through the tunnel", async () => {
    const [type, key] = publicKeyOf("nas.key", "alice@gate").split(" ");
    const marker = "ssh-reverse-tunnel:ssh-reverse-tunnel-dev/nas-on.gate-login-alice.nas";
    expect(await partOf("nas-start", "authorizedKey", { logins })).toEqual({
      ACCOUNT: "bob",
      LINE: `restrict,pty,from="127.0.0.1,::1" ${type} ${key} ${marker}`,
      MARKER: marker,
      PERMITS: "",
      TARGET_HOST: "127.0.0.1",
      TARGET_PORT: "22",
      OTHER_NAMES: marker.replace(/nas$/, ""),
      FILE: "",
    });
  });
});

describe("the order of the stages", () => {
  const waitsFor = async (stage: string, changes: Changes = {}) =>
    (await deploy(changes)).command(stage).waitsFor;
  const onGate = ["gate-facts-script", "gate-server-change", "gate-server-confirm", "gate-tools-script"];
  const onNas = ["nas-facts-script", "nas-tools-script"];

  test("makes a key once both hosts have been checked, which says what types of keys the other accepts", async () => {
    expect(await waitsFor("nas-prepare")).toEqual(["gate-facts-script", ...onNas]);
    expect(await waitsFor("nas-on.gate-login-keys", { logins })).toEqual([...onGate, "nas-facts-script"]);
  });

  test("admits the tunnel once its key exists", async () => {
    expect(await waitsFor("nas-on.gate-admit")).toEqual([...onGate, "nas-on.gate-port-web", "nas-prepare"]);
  });

  test("starts the tunnel once it is admitted, sshd is changed and the keys of the logins exist", async () => {
    expect((await waitsFor("nas-start", { logins })).sort()).toEqual(
      [
        ...["gate-facts-script", "gate-server-change", "gate-server-confirm"],
        ...[...onNas, "nas-on.gate-admit", "nas-on.gate-login-keys", "nas-prepare"],
      ].sort(),
    );
  });

  test("runs nothing on the public host for ports that it has refused", async () => {
    // No port is `auto`, which would be an output of the check of the ports.
    const recording = await deploy({ forwards: { ssh: forwards.ssh, open }, logins });
    for (const stage of ["nas-on.gate-firewall-ports-change", "nas-on.gate-settle"]) {
      expect(recording.command(stage).waitsFor, stage).toContain("nas-on.gate-admit");
    }
  });

  test("settles and checks at the end", async () => {
    expect(await waitsFor("nas-on.gate-settle", { ...withOpen, logins })).toEqual(
      expect.arrayContaining([
        "nas-on.gate-admit",
        "nas-on.gate-firewall-ports-confirm",
        "nas-on.gate-login-keys",
        "nas-start",
      ]),
    );
  });
});

describe("a tunnel that is disabled", () => {
  const disabled = { ...withOpen, logins, enabled: false };

  test("is stopped, but everything else is there, and nothing is checked", async () => {
    expect(stagesOf(await deploy(disabled))).toEqual({
      "nas-prepare inside": "account keyPair",
      "nas-on.gate-login-keys outside": "keyPair",
      "nas-start inside": "authorizedKey tunnelStop",
      "nas-on.gate-admit outside": "account remotePorts selinuxPorts authorizedKey endSessions",
      "nas-on.gate-firewall-ports-change outside": "firewallPorts",
      "nas-on.gate-firewall-ports-confirm outside": "firewallPorts",
      "nas-on.gate-settle outside": "knownHost clientConfig healthCheck",
      "nas-finish inside": "",
    });
  });

  test("is stopped before its key expires, so that a stop that fails changes nothing", async () => {
    const recording = await deploy(disabled);
    expect(recording.command("nas-on.gate-admit").waitsFor).toContain("nas-start");
    expect(recording.command("nas-start").waitsFor).not.toContain("nas-on.gate-admit");
  });

  test("keeps its key and its permits, with an option that says that the key has expired", async () => {
    const off = await partOf("nas-on.gate-admit", "authorizedKey", disabled);
    const on = await partOf("nas-on.gate-admit", "authorizedKey", { ...disabled, enabled: true });
    expect(off.LINE).toContain(',expiry-time="20000101" ssh-ed25519 ');
    expect({ ...off, LINE: off.LINE!.replace(',expiry-time="20000101"', "") }).toEqual(on);
  });

  test("is shown as such, and has no metrics", async () => {
    const { LIST, METRICS_FOLDER } = await partOf("nas-on.gate-settle", "healthCheck", disabled);
    expect(LIST!.split("\n")[0]).toBe("disabled");
    expect(METRICS_FOLDER).toBe("");
  });

  test("cannot be disabled while Pulumi connects through it", async () => {
    await expect(through({ enabled: false })).rejects.toThrow(
      "the tunnel 'nas' must be enabled while Pulumi connects through it, or nobody could enable it again; connect directly first",
    );
  });
});

test("a tunnel that is disabled may end where the one ends that Pulumi connects through", async () => {
  const { commands } = await record(() => {
    const publicHost = new PublicHost("gate", { connection: gate.connection });
    const way = { throughTunnel: "gate", tunnel: "nas" };
    const internalHost = new InternalHost("nas", { connection: nas.connection, ...way });
    new ReverseTunnel("nas2", { internalHost, publicHost, forwards, enabled: false });
  });
  expect(commands.map(({ name }) => name)).toContain("nas2-on.nas-start");
});

describe("a forward that is disabled", () => {
  const changes = { forwards: { ...forwards, web: { ...forwards.web, enabled: false } }, logins };

  test("is neither requested, permitted nor checked, but keeps the start of its port", async () => {
    const recording = await deploy(changes);
    const values = recording.commands
      .filter(({ name }) => name.startsWith("nas-"))
      .map(({ inputs }) => inputs.stdin);
    expect(values.join("\n")).not.toMatch(/\bweb\b|8080/);
    expect(recording.resources.map(({ name }) => name)).toContain("nas-on.gate-port-web");
  });

  test("leaves a login through it authorized, without a Host entry", async () => {
    const ssh = { ...forwards.ssh, enabled: false };
    const stages = stagesOf(await deploy({ forwards: { ...forwards, ssh }, logins }));
    expect(stages["nas-start inside"]).toBe("authorizedKey tunnelService");
    expect(stages["nas-on.gate-settle outside"]).toBe("healthCheck tunnelCheck");
  });

  test("cannot be the only one", async () => {
    await expect(deploy({ forwards: { ssh: { ...forwards.ssh, enabled: false } } })).rejects.toThrow(
      "the tunnel 'nas': its forwards must have one that is enabled; to stop all of them, set 'enabled: false' for the tunnel itself",
    );
  });
});

describe("a tunnel that Pulumi connects through", () => {
  test("is settled and checked after a new login has confirmed it", async () => {
    expect((await through()).command("nas-on.gate-settle").waitsFor).toContain("nas-confirm");
  });

  test("is removed before the account on the public host, which is removed last", async () => {
    expect((await through()).command("nas-start").waitsFor).toContain("nas-on.gate-admit");
  });

  test("has the same stages as any other except for the new login: choosing this way makes and removes nothing", async () => {
    const { "nas-confirm inside": confirm, ...others } = stagesOf(await through({ logins }));
    expect(others).toEqual(stagesOf(await deploy({ logins })));
    expect(confirm).toBe(others["nas-start inside"]);
  });

  test("is named in every message about the internal host", async () => {
    const { commands } = await through();
    expect(new Set(commands.map(({ header }) => header.HOST))).toEqual(
      new Set(["nas (through its tunnel to gate)", "gate (198.18.0.2)"]),
    );
  });
});

describe("a tunnel's client", () => {
  const entry = async (changes: Changes = {}) =>
    (await partOf("nas-start", "tunnelService", changes)).ENTRY!.split("\n");

  test("notices within seconds that the tunnel is dead", async () => {
    expect((await entry()).slice(1, 5)).toEqual([
      "Host ssh-tunnel-nas", // and not "gate", for which the account may have an entry
      "    HostName 198.18.0.2",
      "    Port 22",
      "    User tunnel-nas",
    ]);
    expect((await entry()).slice(-8)).toEqual([
      "    BatchMode yes",
      "    ConnectTimeout 5",
      "    ConnectionAttempts 1",
      "    ServerAliveInterval 3",
      "    ServerAliveCountMax 2",
      "    ExitOnForwardFailure yes",
      "    ChannelTimeout none",
      "    LogLevel INFO",
    ]);
  });

  test("also accepts the guide's conservative settings", async () => {
    const keepAlive = { preset: "conservative", connectTimeoutSec: 20 } as const;
    expect((await entry({ keepAlive })).slice(-7, -2)).toEqual([
      "    ConnectTimeout 20",
      "    ConnectionAttempts 1",
      "    ServerAliveInterval 60",
      "    ServerAliveCountMax 3",
      "    ExitOnForwardFailure yes",
    ]);
    const { SERVICE_UNIT } = await partOf("nas-start", "tunnelService", { keepAlive });
    expect(SERVICE_UNIT).toContain("\nRestartSec=10\n");
  });

  test("pins the public host's keys", async () => {
    const { KEYS } = await partOf("nas-start", "tunnelService");
    expect(KEYS).toBe(gateKeys.map((key) => `ssh-tunnel-nas ${key}`).join("\n"));
  });
});

describe("the checks", () => {
  test("know each forward with its port", async () => {
    const recording = await deploy();
    const settle = recording.command("nas-on.gate-settle");
    expect(settle.part("tunnelCheck").FORWARDS).toBe(
      "ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback web,127.0.0.1,20345,tcp,127.0.0.1,8080,loopback",
    );
    expect(settle.part("healthCheck").LIST).toBe(
      "interval 30\nssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback\nweb,127.0.0.1,20345,tcp,127.0.0.1,8080,loopback",
    );
    expect(recording.command("nas-start").part("tunnelService").CHECK_UNIT).toContain(
      "/bin/watchdog repair ssh-tunnel-nas /run/ssh-tunnel-nas ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback web,127.0.0.1,20345,tcp,127.0.0.1,8080,loopback\n",
    );
  });

  test("run as often, and wait as long, as the settings say", async () => {
    const recording = await deploy({ watchdogIntervalSec: 60, healthIntervalSec: 90, timeoutSec: 10 });
    const { TIMER_UNIT, SECONDS_TO_WAIT } = recording.command("nas-start").part("tunnelService");
    expect(TIMER_UNIT).toContain("OnUnitActiveSec=60\n");
    expect(SECONDS_TO_WAIT).toBe("10");
    const settle = recording.command("nas-on.gate-settle");
    expect(settle.part("healthCheck").LIST).toMatch(/^interval 90\n/);
    expect(settle.part("tunnelCheck").SECONDS_TO_WAIT).toBe("10");
  });

  test("come last in their stage, since others may change the host meanwhile", async () => {
    const { parts } = (await deploy({ logins })).command("nas-on.gate-settle");
    expect(parts.slice(-2).map(({ script }) => script)).toEqual(["tunnelCheck", "loginCheck"]);
  });

  test("say where to look", async () => {
    expect((await partOf("nas-on.gate-settle", "tunnelCheck")).LOOK_AT).toBe(
      "'journalctl -u ssh-tunnel-nas.service' on nas and 'journalctl -u ssh -u sshd' on gate",
    );
  });

  test("run again when what is admitted, the service, its client or sshd changes", async () => {
    const fingerprint = async (changes: Changes = {}) =>
      (await partOf("nas-on.gate-settle", "tunnelCheck", changes)).FINGERPRINT;
    const first = await fingerprint();
    expect(first).toMatch(/^[0-9a-f]{16}$/);
    expect(await fingerprint()).toBe(first);
    const others: Record<string, Changes> = {
      service: { keepAlive: { restartSec: 10 } },
      client: { keepAlive: { connectTimeoutSec: 10 } },
      admitted: { forwards: { ...forwards, ssh: { remotePort: 2223, target: 22 } } },
    };
    for (const [what, changes] of Object.entries(others)) {
      expect(await fingerprint(changes), what).not.toBe(first);
    }
    const { connection } = gate;
    const sshd = await record(() =>
      tunnel({ publicHost: new PublicHost("gate", { connection, clientAliveIntervalSec: 60 }) }),
    );
    expect(sshd.command("nas-on.gate-settle").part("tunnelCheck").FINGERPRINT).not.toBe(first);
  });

  test("run again, and the key is tried, when the key changes", async () => {
    const unit = async (key: string) => {
      const keyPair = () => `key tunnel-nas/nas.key ssh-ed25519 ${key} x`;
      const recording = await deploy({}, { keyPair });
      return recording.command("nas-start").part("tunnelService").SERVICE_UNIT;
    };
    expect(await unit("AAAA")).toContain(fingerprintOf("ssh-ed25519 AAAA x"));
    expect(await unit("BBBB")).toContain(fingerprintOf("ssh-ed25519 BBBB x"));
  });
});

describe("a login back", () => {
  test("is a login in the other direction, through the forward to SSH", async () => {
    const recording = await deploy({ logins });
    expect(recording.command("nas-on.gate-login-keys").part("keyPair")).toEqual({
      ACCOUNT: "alice",
      FILE: "nas.key",
      COMMENT: "alice@gate",
      TYPES: "ed25519 ecdsa",
    });
    const settle = recording.command("nas-on.gate-settle");
    expect(settle.part("knownHost")).toEqual({
      ACCOUNT: "alice",
      FILE: "nas.known_hosts",
      KEYS: nasKeys.map((key) => `nas ${key}`).join("\n"),
    });
    expect(settle.part("clientConfig")).toEqual({
      ACCOUNT: "alice",
      FILE: "nas.conf",
      ENTRY: [
        "# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.",
        "Host nas",
        "    HostName 127.0.0.1",
        "    Port 2222",
        "    User bob",
        "    IdentityFile ~/.ssh/ssh-reverse-tunnel/nas.key",
        "    IdentitiesOnly yes",
        "    IdentityAgent none",
        "    AddKeysToAgent no",
        "    PKCS11Provider none",
        "    PubkeyAuthentication yes",
        "    PreferredAuthentications publickey,keyboard-interactive,password",
        "    HostKeyAlias nas",
        "    UserKnownHostsFile ~/.ssh/ssh-reverse-tunnel/nas.known_hosts",
        "    GlobalKnownHostsFile /dev/null",
        "    KnownHostsCommand none",
        "    VerifyHostKeyDNS no",
        "    NoHostAuthenticationForLocalhost no",
        "    GSSAPIKeyExchange no",
        "    StrictHostKeyChecking yes",
        "    UpdateHostKeys no",
        "    CheckHostIP no",
        "    CanonicalizeHostname no",
        "    ControlMaster no",
        "    ControlPath none",
        "    ControlPersist no",
        "    ForwardAgent no",
        "    ForwardX11 no",
        "    Tunnel no",
        "    PermitLocalCommand no",
        "    RemoteCommand none",
        "    RequestTTY auto",
        "    SessionType default",
        "    StdinNull no",
        "    ForkAfterAuthentication no",
        "    ServerAliveInterval 15",
        "    ServerAliveCountMax 3",
        "    ClearAllForwardings yes",
        "    ProxyCommand none",
        "    AddressFamily any",
      ].join("\n"),
    });
  });

  test("has its own alias if the settings give it one", async () => {
    const recording = await deploy({ logins: [{ ...logins[0]!, alias: "my-nas" }] });
    expect(recording.command("nas-on.gate-login-keys").part("keyPair").FILE).toBe("my-nas.key");
    const { FILE, ENTRY } = recording.command("nas-on.gate-settle").part("clientConfig");
    expect(FILE).toBe("my-nas.conf");
    expect(ENTRY).toContain("\nHost my-nas\n");
  });

  test("uses the forward that the settings name", async () => {
    const printer = { remotePort: 2300, target: "192.168.1.5:22", listen: "all" };
    const path = { ...logins[0]!, via: "printer" };
    const recording = await deploy({ forwards: { ...forwards, printer }, logins: [path] });
    expect(recording.command("nas-on.gate-settle").part("clientConfig").ENTRY).toContain(
      "\n    HostName 127.0.0.1\n    Port 2300\n",
    );
    expect(recording.command("nas-start").part("authorizedKey").LINE).toMatch(
      /^restrict,pty,from="127\.0\.0\.1,::1,192\.168\.1\.5" /,
    );
  });

  test("accepts only the key that was made for it", async () => {
    const paths = [...logins, { from: "root", to: "root", alias: "my-nas" }];
    const lines = (await deploy({ logins: paths })).command("nas-start").partsOf("authorizedKey");
    expect(lines.map(({ ACCOUNT, LINE }) => [ACCOUNT, LINE!.split(" ")[2]])).toEqual([
      ["bob", publicKeyOf("nas.key", "").split(" ")[1]],
      ["root", publicKeyOf("my-nas.key", "").split(" ")[1]],
    ]);
  });
});

describe("a tunnel's outputs", () => {
  test("contain where each forward listens and where it leads", async () => {
    const open = { remotePort: 8080, target: "printer:80", listen: "all" };
    const { result } = await deploy({ forwards: { ...forwards, open } });
    expect(await promiseOf(result.endpoints)).toEqual({
      ssh: { endpoint: "127.0.0.1:2222", target: "127.0.0.1:22" },
      web: { endpoint: "127.0.0.1:20345", target: "127.0.0.1:8080" },
      open: { endpoint: "198.18.0.2:8080", target: "printer:80" },
    });
  });

  test.each(["all", "0.0.0.0", "::"])("name the public host if a forward listens on %s", async (listen) => {
    const { result } = await deploy({ forwards: { web: { remotePort: 8080, target: 80, listen } } });
    expect(await promiseOf(result.endpoints)).toEqual({
      web: { endpoint: "198.18.0.2:8080", target: "127.0.0.1:80" },
    });
  });

  test("contain the exact command to log in, and the account", async () => {
    const paths = [...logins, { from: "root", to: "root", alias: "my-nas" }];
    const { result } = await deploy({ logins: paths });
    expect(result.logins).toEqual([
      { on: "gate", as: "alice", command: "ssh nas" },
      { on: "gate", as: "root", command: "ssh my-nas" },
    ]);
  });

  test("name the units of each host", async () => {
    const { result } = await deploy();
    expect(result.units).toEqual({
      nas: ["ssh-tunnel-nas.service", "ssh-tunnel-nas-watchdog.timer"],
      gate: ["ssh-tunnels-ssh-reverse-tunnel-dev-health.timer"],
    });
  });
});

test("a first deployment, with hardly any values known, can be previewed", async () => {
  const { result, resources } = await record(() => tunnel({ ...withOpen, logins }).endpoints, true);
  expect(await promiseOf(result)).toBeUndefined();
  expect(resources.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["nas-prepare", "nas-on.gate-admit", "nas-start", "nas-on.gate-settle"]),
  );
});

describe("wrong arguments are reported with a sentence:", () => {
  test.each(["Nas", "-nas", "1nas", "na_s", "nas.home", "a".repeat(25)])("the name '%s'", async (name) => {
    await expect(record(() => tunnel({}, name))).rejects.toThrow(
      `'${name}' is not a valid name for a tunnel, since accounts and units are named after it; use a to z, 0 to 9 and '-', beginning with a letter, at most 24 characters`,
    );
  });

  test("an invalid target", async () => {
    await expect(deploy({ forwards: { web: { remotePort: 8080, target: "printer" } } })).rejects.toThrow(
      "the forward 'web': 'printer' is not a valid target; write host:port, [v6]:port or a port",
    );
  });

  test("a forward outside the public host's bounds, before anything is created", async () => {
    const publicHost = () =>
      new PublicHost("gate", { connection: gate.connection, permitListen: ["127.0.0.1:22"] });
    await expect(record(() => tunnel({ publicHost: publicHost() }))).rejects.toThrow(
      `the tunnel 'nas': the forward 'ssh' must listen where permitListen allows it: 127.0.0.1:2222 is not in ["127.0.0.1:22"]`,
    );
  });

  test("no forwards", async () => {
    await expect(deploy({ forwards: {} })).rejects.toThrow(
      "the tunnel 'nas' has no forwards; give it at least one",
    );
  });

  test.each<[string, Changes]>([
    ["ro bot", { account: "ro bot" }],
    ["1000", { logins: [{ from: "1000", to: "bob" }] }],
    ["-x", { logins: [{ from: "alice", to: "-x" }] }],
    ["bob\n", { logins: [{ from: "alice", to: "bob\n" }] }],
  ])("the account %j", async (account, changes) => {
    await expect(deploy(changes)).rejects.toThrow(
      `the tunnel 'nas': '${account}' must be the name of an account: letters, digits, '_', '.' and '-', at most 32 characters, and not only digits`,
    );
  });

  test.each(["EXAMPLE\\alice", "alice@example.org"])(
    "the account %j, with what to do about its domain",
    async (to) => {
      await expect(deploy({ logins: [{ from: "root", to }] })).rejects.toThrow(
        "'DOMAIN\\user' and 'user@domain' are not supported, so have the host's directory service leave out the domain",
      );
    },
  );

  test.each(["", "../nas", "a b", "a\nb"])("the alias %j", async (alias) => {
    await expect(deploy({ logins: [{ from: "alice", to: "bob", alias }] })).rejects.toThrow(
      `the tunnel 'nas': '${alias}' is not a valid alias; use a to z, 0 to 9, '.', '_' and '-', at most 63 characters`,
    );
  });

  test("a login back without a forward to an SSH port", async () => {
    await expect(deploy({ forwards: { web: { remotePort: 8080, target: 80 } }, logins })).rejects.toThrow(
      "the tunnel 'nas' has no forward to an SSH port; its login from 'alice' needs one",
    );
  });

  test("a login back without 'via' if no forward leads to the internal host itself", async () => {
    const forwards = { printer: { remotePort: 2223, target: "192.168.1.20:22" } };
    await expect(deploy({ forwards, logins })).rejects.toThrow(
      "the tunnel 'nas': the login from 'alice' must name a forward in 'via', since none of the forwards to an SSH port leads to the internal host itself, by its loopback or its address",
    );
  });

  test("a login back through a forward that does not exist", async () => {
    await expect(deploy({ logins: [{ ...logins[0]!, via: "sch" }] })).rejects.toThrow(
      "the tunnel 'nas' has no forward 'sch'; its login from 'alice' needs one",
    );
  });
});

test("a name of 24 characters is not too long", async () => {
  const name = "a".repeat(24);
  const { commands } = await record(() => tunnel({}, name));
  expect(commands.map((command) => command.name)).toContain(`${name}-on.gate-settle`);
});

describe("a tunnel", () => {
  /** Two tunnels of one host, of which the second is the way. */
  const both = (changes: Record<string, Changes> = {}) =>
    record(() => {
      const [publicHost, other] = ["gate", "far"].map(
        (name) => new PublicHost(name, { connection: gate.connection }),
      );
      const ways = {
        through: "far",
        others: ["near"],
        all: [],
        admits: new Map(),
        state: Promise.resolve(new Map<string, Record<string, unknown>>()),
      };
      const internalHost = new InternalHost("nas", {
        connection: nas.connection,
        throughTunnel: "gate or far",
        ways,
      });
      new ReverseTunnel("near", { internalHost, publicHost: publicHost!, forwards, ...changes.near });
      new ReverseTunnel("far", { internalHost, publicHost: other!, forwards, ...changes.far });
    });

  test("of several, that the admin comes through is changed last, and is removed last", async () => {
    const recording = await both();
    expect(recording.command("far-on.nas-start").waitsFor).toContain("near-on.nas-confirm");
    // A destroy goes backwards.
    expect(recording.command("near-on.nas-start").waitsFor).toContain("far-on.far-admit");
    const ofNear = recording.commands.filter(({ name }) => name.startsWith("near-"));
    const waits = ofNear.flatMap(({ waitsFor }) => waitsFor).filter((name) => name.startsWith("far"));
    expect([...new Set(waits)]).toEqual(["far-on.far-admit"]);
  });

  test("of several, that the admin does not come through can be disabled, and waits for that one", async () => {
    const recording = await both({ near: { enabled: false } });
    const { waitsFor, header } = recording.command("near-on.nas-start");
    expect(waitsFor).toContain("far-on.far-admit");
    expect(header.RECORDS).toBe("near-on.nas-start near-on.nas-prepare");
    expect(recording.command("near-on.gate-admit").waitsFor).toContain("near-on.nas-start");
    await expect(both({ far: { enabled: false } })).rejects.toThrow("the tunnel 'far' must be enabled");
  });

  test("from an internal host that is gone has no command there, and is removed on the public host", async () => {
    const recording = await record(() => {
      const publicHost = new PublicHost("gate", { connection: gate.connection });
      const internalHost = new InternalHost("nas", { connection: nas.connection, gone: true });
      new ReverseTunnel("nas", { internalHost, publicHost, ...withOpen, logins });
    });
    const commands = recording.resources.filter(({ type }) => type === "command:remote:Command");
    const ofNas = commands.filter(({ name }) => !name.startsWith("gate-"));
    expect(ofNas.map(({ name }) => name).sort()).toEqual([
      "nas-facts-script",
      "nas-prepare",
      "nas-start",
      "nas-tools-script",
    ]);
    for (const { inputs } of ofNas) expect(Object.keys(inputs)).toEqual(["connection"]);
    expect(commands.filter(({ name, inputs }) => name.startsWith("gate-") && !("create" in inputs))).toEqual(
      [],
    );
  });

  test.each([
    ["", { ...withOpen, logins }],
    [", whatever it has had there", { forwards }],
  ])(
    "to a public host that is gone has no command there, and is removed on the internal host%s",
    async (_had, changes) => {
      const recording = await record(() => {
        const publicHost = new PublicHost("gate", { connection: gate.connection, gone: true });
        const internalHost = new InternalHost("nas", { connection: nas.connection });
        const {
          endpoints,
          logins: none,
          units,
        } = new ReverseTunnel("nas", {
          ...{ internalHost, publicHost, ...changes },
        });
        return { endpoints, none, units };
      });
      const inputs = (name: string) => recording.resources.find((resource) => resource.name === name)!.inputs;
      const commands = recording.resources.filter(({ type }) => type === "command:remote:Command");
      const silent = commands.filter(({ inputs: given }) => !("create" in given)).map(({ name }) => name);
      expect(silent.sort()).toEqual([
        "gate-facts-script",
        "gate-notify-script",
        "gate-server-change",
        "gate-server-confirm",
        "gate-ssh-port-change",
        "gate-ssh-port-confirm",
        "gate-tools-script",
        "nas-on.gate-admit",
        "nas-on.gate-firewall-ports-change",
        "nas-on.gate-firewall-ports-confirm",
        "nas-on.gate-login-keys",
        "nas-prepare",
      ]);
      for (const name of silent) expect(Object.keys(inputs(name))).toEqual(["connection"]);
      const { create, update, delete: remove } = inputs("nas-start");
      expect([create, update, remove].map((line) => String(line).split(" ").at(-1))).toEqual([
        "remove",
        "remove",
        "remove",
      ]);
      expect(recording.command("nas-start").header.RECORDS).toBe("nas-start nas-prepare");
      expect(await promiseOf(recording.result.endpoints)).toEqual({});
      expect([recording.result.none, recording.result.units]).toEqual([[], {}]);
    },
  );
});
