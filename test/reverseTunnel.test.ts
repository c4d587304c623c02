import { describe, expect, test } from "vitest";
import type { ReverseTunnelArgs } from "../components/index.ts";
import { InternalHost, PublicHost, ReverseTunnel } from "../components/index.ts";
import { ownValues } from "./support/expectScript.ts";
import { bothEnds, gate, gateKeys, nas, nasKeys } from "./support/hosts.ts";
import { publicKeyOf, record } from "../tools/mocks.ts";
import { promiseOf } from "./support/promiseOf.ts";

type Changes = Partial<ReverseTunnelArgs>;

const forwards = {
  ssh: { remotePort: 2222, target: 22 },
  web: { remotePort: "auto", target: 8080 },
} as const;
const returnPath = [{ from: "alice", to: "bob" }];

const tunnel = (changes: Changes = {}, name = "nas", throughTunnel?: string) =>
  new ReverseTunnel(name, { ...bothEnds(throughTunnel), forwards, ...changes });

const deploy = (changes: Changes = {}) => record(() => tunnel(changes));

const valuesOf = async (command: string, changes: Changes = {}) =>
  ownValues((await deploy(changes)).command(command).values);

describe("a tunnel's parts", () => {
  test("are what it needs on both sides and nothing else", async () => {
    const recording = await deploy();
    expect(recording.childrenOf(recording.component("ReverseTunnel", "nas"))).toEqual([
      "Account nas-internal-account",
      "Account nas-on.gate-account",
      "AuthorizedKey nas-on.gate-authorized-key",
      "AuthorizedKey nas-on.gate-settled-key",
      "HealthCheck nas-on.gate-health",
      "KeyPair nas-on.gate-key",
      "RemotePorts nas-on.gate-remote-ports",
      "SelinuxPorts nas-on.gate-selinux-ports.2222.auto",
      "TunnelCheck nas-on.gate-check",
      "TunnelService nas-service",
    ]);
  });

  test("are on the public host the account, its ports, its key and its checks", async () => {
    const recording = await deploy({ returnPath });
    const on = (address: string) =>
      recording.commands
        .filter((command) => command.address === address)
        .map(({ name }) => name)
        .sort();
    expect(on("198.18.0.2")).toEqual([
      "gate-facts-script",
      "gate-server-change",
      "gate-server-confirm",
      "gate-tools-script",
      "nas-on.gate-account-script",
      "nas-on.gate-authorized-key-script",
      "nas-on.gate-check-script",
      "nas-on.gate-health-script",
      "nas-on.gate-remote-ports-script",
      "nas-on.gate-return-alice.nas-client-config-script",
      "nas-on.gate-return-alice.nas-key-script",
      "nas-on.gate-return-alice.nas-known-host-script",
      "nas-on.gate-selinux-ports.2222.auto-script",
      "nas-on.gate-settled-key-script",
    ]);
    expect(on("198.18.0.3")).toEqual([
      "nas-facts-script",
      "nas-internal-account-script",
      "nas-on.gate-key-script",
      "nas-on.gate-return-alice.nas-authorized-key-script",
      "nas-service-change",
      "nas-service-confirm",
      "nas-tools-script",
    ]);
  });

  test("include the firewall only for the ports that others may reach", async () => {
    const web = { remotePort: 8080, target: 80, listen: "all" };
    const values = await valuesOf("nas-on.gate-firewall-ports.8080-change", {
      forwards: { ...forwards, web },
    });
    expect(values.PORTS).toBe("8080");
  });

  test("open each of these to the networks and at the address that its forward has", async () => {
    const web = { remotePort: 8080, target: 80, listen: "all", sources: ["203.0.113.0/24", "fd00::/8"] };
    const api = { remotePort: 8081, target: 81, listen: "198.18.0.2" };
    const values = await valuesOf("nas-on.gate-firewall-ports.8080.8081-change", {
      forwards: { ...forwards, web, api },
    });
    expect(values.PORTS?.split("\n")).toEqual([
      "8080 from others",
      "8080 from 203.0.113.0/24",
      "8080 from fd00::/8",
      "8081 to 198.18.0.2",
    ]);
  });

  test("let nothing listen for some networks before the firewall keeps the others out", async () => {
    const web = { remotePort: 8080, target: 80, listen: "all" };
    const waitsFor = async (changes: object) =>
      (await deploy({ forwards: { ...forwards, web: { ...web, ...changes } } })).command("nas-service-change")
        .waitsFor;
    const firewall = "nas-on.gate-firewall-ports.8080-confirm";
    expect(await waitsFor({ sources: ["203.0.113.0/24"] })).toContain(firewall);
    expect(await waitsFor({})).not.toContain(firewall);
  });

  test("include no account of its own where one of the host runs it", async () => {
    const recording = await deploy({ account: "robot" });
    const tunnelParts = recording.childrenOf(recording.component("ReverseTunnel", "nas"));
    expect(tunnelParts).not.toContain("Account nas-internal-account");
    expect(ownValues(recording.command("nas-on.gate-key.robot-script").values)).toEqual({
      ACCOUNT: "robot",
      FILE: "nas.key",
      COMMENT: "robot@nas",
    });
    const { values } = recording.command("nas-service-change");
    expect(values.ACCOUNT).toBe("robot");
    expect(values.SERVICE_UNIT).toContain("\nUser=robot\n");
    expect(values.CHECK_UNIT).toContain(" ACCOUNT=robot\n");
    expect(recording.command("nas-on.gate-account-script").values.ACCOUNT).toBe("tunnel-nas");
  });
});

describe("what a tunnel has once for all ports", () => {
  const names = async (changes: Changes) => (await deploy(changes)).commands.map(({ name }) => name);

  test("is another resource for other ports, so that the old one goes when the new one works", async () => {
    const open = (remotePort: number | "auto") => ({ remotePort, target: 80, listen: "all" });
    const some = await names({
      forwards: { a: open("auto"), b: open(3000), c: open(2000), d: open("auto") },
    });
    expect(some.filter((name) => /selinux|firewall/.test(name)).sort()).toEqual([
      "nas-on.gate-firewall-ports.2000.3000.auto-change",
      "nas-on.gate-firewall-ports.2000.3000.auto-confirm",
      "nas-on.gate-selinux-ports.2000.3000.auto-script",
    ]);
    const others = await names({ forwards: { b: open(3000), c: open(2001) } });
    expect(some.filter((name) => /selinux|firewall/.test(name) && others.includes(name))).toEqual([]);
  });

  test("is the same whatever the order of the forwards, and wherever they lead", async () => {
    const [a, b] = [
      { remotePort: 2000, target: 80, listen: "all" },
      { remotePort: 3000, target: 81, listen: "all" },
    ];
    const one = await names({ forwards: { a, b } });
    expect((await names({ forwards: { b: { ...b, target: 443 }, a } })).sort()).toEqual(one.sort());
  });
});

describe("a tunnel that another account comes to run", () => {
  const of = async (account?: string) => (await deploy({ account })).commands.map(({ name }) => name);

  test("has another key, so that the old one goes when the new one works, and nothing else by another name", async () => {
    const [own, robot, other] = [await of(), await of("robot"), await of("other")];
    expect(robot.filter((name) => !own.includes(name)).sort()).toEqual([
      "nas-on.gate-authorized-key.robot-script",
      "nas-on.gate-key.robot-script",
      "nas-on.gate-settled-key.robot-script",
    ]);
    expect(robot.filter((name) => !other.includes(name))).toHaveLength(3);
  });

  test("has a line of its own in the file with the keys", async () => {
    const markerOf = async (name: string, changes?: Changes) => (await valuesOf(name, changes)).MARKER;
    expect(await markerOf("nas-on.gate-authorized-key.robot-script", { account: "robot" })).not.toBe(
      await markerOf("nas-on.gate-authorized-key-script"),
    );
  });
});

describe("a tunnel that moves to another public host", () => {
  const on = async (publicHost: string) => {
    const { commands } = await record(() => {
      const web = { remotePort: 8080, target: 80, listen: "all" };
      return new ReverseTunnel("nas", {
        internalHost: new InternalHost("nas", { connection: nas.connection }),
        publicHost: new PublicHost(publicHost, { connection: { ...gate.connection, host: "198.18.0.9" } }),
        forwards: { ...forwards, web },
        returnPath,
      });
    });
    const names = (address: string) =>
      commands.filter((command) => command.address === address).map(({ name }) => name);
    return { outside: names("198.18.0.9"), inside: names("198.18.0.3") };
  };

  test("has nothing on the new one by the name that it has on the old one", async () => {
    const [old, moved] = [(await on("one")).outside, (await on("two")).outside];
    expect(old).toHaveLength(16);
    expect(moved.filter((name) => old.includes(name))).toEqual([]);
  });

  test("keeps its account and its service on the internal host", async () => {
    const [old, moved] = [(await on("one")).inside, (await on("two")).inside];
    expect(moved.filter((name) => old.includes(name)).sort()).toEqual([
      "nas-facts-script",
      "nas-internal-account-script",
      "nas-service-change",
      "nas-service-confirm",
      "nas-tools-script",
    ]);
  });
});

describe("least privilege", () => {
  test("gives the public account no home, and a shell only for the one forced command", async () => {
    expect(await valuesOf("nas-on.gate-account-script")).toEqual({
      ACCOUNT: "tunnel-nas",
      GROUP: "ssh-tunnel",
      HOME_DIR: "/",
      LOGIN_SHELL: "/bin/sh",
    });
  });

  test("gives the internal account a home for its key, and no shell", async () => {
    expect(await valuesOf("nas-internal-account-script")).toEqual({
      ACCOUNT: "tunnel-nas",
      GROUP: "tunnel-nas",
      HOME_DIR: "/var/lib/tunnel-nas",
      LOGIN_SHELL: "/usr/sbin/nologin",
    });
  });

  test("lets the tunnel's key listen on its own ports, in a file that only root writes", async () => {
    const marker = "ssh-reverse-tunnel:ssh-reverse-tunnel-dev/nas-on.gate-authorized-key";
    const [type, key] = publicKeyOf("nas.key", "tunnel-nas@nas").split(" ");
    const options = [
      "restrict",
      "port-forwarding",
      'command="/opt/ssh-reverse-tunnel/ssh-reverse-tunnel-dev/bin/takeover"',
      'permitlisten="127.0.0.1:2222"',
      'permitlisten="127.0.0.1:20345"',
      'permitopen="127.0.0.1:2222"',
      'permitopen="127.0.0.1:20345"',
    ].join(",");
    expect(await valuesOf("nas-on.gate-authorized-key-script")).toEqual({
      ACCOUNT: "tunnel-nas",
      LINE: `${options} ${type} ${key} ${marker}`,
      MARKER: marker,
      FILE: "/etc/ssh/ssh-reverse-tunnel/tunnel-nas.keys",
      KEEP: "yes",
    });
  });

  test("takes from the key what it permitted before, once the tunnel works without", async () => {
    const recording = await deploy();
    const { values, waitsFor } = recording.command("nas-on.gate-settled-key-script");
    const first = recording.command("nas-on.gate-authorized-key-script").values;
    expect(values).toEqual({ ...first, KEEP: "no", KEPT: "" });
    expect(waitsFor).toContain("nas-service-confirm");
  });

  test("lets the return key in only through the tunnel", async () => {
    const values = await valuesOf("nas-on.gate-return-alice.nas-authorized-key-script", { returnPath });
    expect(values.ACCOUNT).toBe("bob");
    expect(values.LINE).toMatch(/^restrict,pty,from="127\.0\.0\.1,::1" ssh-ed25519 /);
    expect(values.FILE).toBe("");
  });
});

describe("the order", () => {
  const waitsFor = async (command: string, changes: Changes = {}) =>
    (await deploy(changes)).command(command).waitsFor;

  test("starts the tunnel after its key, its ports, their SELinux types and the change to sshd", async () => {
    expect(await waitsFor("nas-service-change")).toEqual(
      expect.arrayContaining([
        "gate-server-change",
        "gate-server-confirm",
        "nas-facts-script",
        "nas-on.gate-authorized-key-script",
        "nas-on.gate-key-script",
        "nas-on.gate-remote-ports-script",
        "nas-on.gate-selinux-ports.2222.auto-script",
      ]),
    );
  });

  test("authorizes the key after the account that it is for", async () => {
    expect(await waitsFor("nas-on.gate-authorized-key-script")).toEqual(
      expect.arrayContaining(["nas-on.gate-account-script", "nas-on.gate-key-script", "gate-facts-script"]),
    );
  });

  test("lets nothing on the public host know of ports that it has refused", async () => {
    // No port is `auto`, which would be an output of the look at the ports.
    const web = { remotePort: 8080, target: 80, listen: "all" };
    const recording = await deploy({ forwards: { ssh: forwards.ssh, web }, returnPath });
    for (const part of [
      "authorized-key-script",
      "firewall-ports.8080-change",
      "health-script",
      "return-alice.nas-client-config-script",
      "return-alice.nas-key-script",
      "return-alice.nas-known-host-script",
    ]) {
      const { waitsFor } = recording.command(`nas-on.gate-${part}`);
      expect(waitsFor, part).toContain("nas-on.gate-remote-ports-script");
    }
  });

  test("makes the key after the account whose home it lies in", async () => {
    expect(await waitsFor("nas-on.gate-key-script")).toContain("nas-internal-account-script");
  });

  test("looks at the ports after the account whose own listeners are no obstacle", async () => {
    expect(await waitsFor("nas-on.gate-remote-ports-script")).toContain("nas-on.gate-account-script");
  });

  test("types the ports after they are known to be free", async () => {
    expect(await waitsFor("nas-on.gate-selinux-ports.2222.auto-script")).toContain(
      "nas-on.gate-remote-ports-script",
    );
  });

  test("does not hold up the tunnel for its return paths", async () => {
    const all = await waitsFor("nas-service-change", { returnPath });
    expect(all.filter((name) => name.includes("-return-"))).toEqual([]);
  });

  test("checks last of all, after the return paths too", async () => {
    expect(await waitsFor("nas-on.gate-check-script", { returnPath })).toEqual(
      expect.arrayContaining([
        "nas-service-confirm",
        "nas-on.gate-return-alice.nas-authorized-key-script",
        "nas-on.gate-return-alice.nas-client-config-script",
        "nas-on.gate-return-alice.nas-known-host-script",
      ]),
    );
  });
});

describe("a tunnel that Pulumi itself comes through", () => {
  const through = (changes: Changes = {}) => record(() => tunnel({ returnPath, ...changes }, "nas", "gate"));
  const waitsFor = async (command: string, changes?: Changes) =>
    (await through(changes)).command(command).waitsFor;

  test("makes nothing inside before the account outside, which so goes last", async () => {
    expect(await waitsFor("nas-internal-account-script")).toContain("nas-on.gate-account-script");
    expect(await waitsFor("nas-on.gate-key.robot-script", { account: "robot" })).toContain(
      "nas-on.gate-account-script",
    );
  });

  test("changes after all that comes through it has been changed", async () => {
    expect(await waitsFor("nas-service-change")).toEqual(
      expect.arrayContaining([
        "nas-on.gate-return-alice.nas-authorized-key-script",
        "nas-on.gate-return-alice.nas-client-config-script",
        "nas-on.gate-return-alice.nas-key-script",
        "nas-on.gate-return-alice.nas-known-host-script",
      ]),
    );
  });

  test("has the same parts as any other: to come through it makes and removes nothing", async () => {
    const names = ({ commands }: { commands: { name: string }[] }) => commands.map(({ name }) => name).sort();
    expect(names(await through())).toEqual(names(await deploy({ returnPath })));
  });

  test("is named in every message of the internal host", async () => {
    const { commands } = await through();
    const hosts = new Set(commands.map(({ values }) => values.HOST));
    expect(hosts).toEqual(new Set(["nas (through its tunnel to gate)", "gate (198.18.0.2)"]));
  });
});

test("a tunnel that Pulumi does not come through waits for nothing outside before its account is made", async () => {
  expect((await deploy()).command("nas-internal-account-script").waitsFor).toEqual([
    "nas-facts-script",
    "nas-tools-script",
  ]);
});

describe("a tunnel's client", () => {
  const entry = async (changes: Changes = {}) =>
    (await valuesOf("nas-service-change", changes)).ENTRY!.split("\n");

  test("finds out within seconds that the tunnel is dead", async () => {
    expect((await entry()).slice(1, 5)).toEqual([
      "Host gate ssh-tunnel-nas",
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

  test("takes the settings of the guide just as well", async () => {
    const keepAlive = { preset: "conservative", connectTimeoutSec: 20 } as const;
    expect((await entry({ keepAlive })).slice(-7, -2)).toEqual([
      "    ConnectTimeout 20",
      "    ConnectionAttempts 1",
      "    ServerAliveInterval 60",
      "    ServerAliveCountMax 3",
      "    ExitOnForwardFailure yes",
    ]);
    expect((await valuesOf("nas-service-change", { keepAlive })).SERVICE_UNIT).toContain("\nRestartSec=10\n");
  });

  test("pins the public host's keys", async () => {
    expect((await valuesOf("nas-service-change")).KEYS).toBe(gateKeys.map((key) => `gate ${key}`).join("\n"));
  });
});

describe("the checks", () => {
  test("know each forward with the port that it has", async () => {
    const recording = await deploy();
    expect(recording.command("nas-on.gate-check-script").values.FORWARDS).toBe(
      "ssh 127.0.0.1 2222 ssh 127.0.0.1:22\nweb 127.0.0.1 20345 tcp 127.0.0.1:8080",
    );
    expect(recording.command("nas-on.gate-health-script").values.LIST).toBe(
      "interval 30\nssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback\nweb,127.0.0.1,20345,tcp,127.0.0.1,8080,loopback",
    );
    expect(recording.command("nas-service-change").values.CHECK_UNIT).toContain(
      "/bin/watchdog mend ssh-tunnel-nas /run/ssh-tunnel-nas ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback web,127.0.0.1,20345,tcp,127.0.0.1,8080,loopback\n",
    );
  });

  test("run as often, and wait as long, as the settings say", async () => {
    const recording = await deploy({ watchdogIntervalSec: 60, healthIntervalSec: 90, timeoutSec: 10 });
    const { TIMER_UNIT, SECONDS_TO_WAIT } = recording.command("nas-service-change").values;
    expect(TIMER_UNIT).toContain("OnUnitActiveSec=60\n");
    expect(SECONDS_TO_WAIT).toBe("10");
    expect(recording.command("nas-on.gate-health-script").values.LIST).toMatch(/^interval 90\n/);
    expect(recording.command("nas-on.gate-check-script").values.SECONDS_TO_WAIT).toBe("10");
  });

  test("say where to look", async () => {
    expect((await valuesOf("nas-on.gate-check-script")).LOOK_AT).toBe(
      "'journalctl -u ssh-tunnel-nas.service' on nas and 'journalctl -u ssh -u sshd' on gate",
    );
  });

  test("run again when the service, its client or sshd changes", async () => {
    const fingerprint = async (changes: Changes = {}) =>
      (await valuesOf("nas-on.gate-check-script", changes)).FINGERPRINT;
    const first = await fingerprint();
    expect(await fingerprint()).toBe(first);
    expect(await fingerprint({ keepAlive: { restartSec: 10 } })).not.toBe(first);
    expect(await fingerprint({ keepAlive: { connectTimeoutSec: 10 } })).not.toBe(first);
  });
});

describe("a return path", () => {
  test("is the same login the other way round, through the forward to SSH", async () => {
    const recording = await deploy({ returnPath });
    expect(ownValues(recording.command("nas-on.gate-return-alice.nas-key-script").values)).toEqual({
      ACCOUNT: "alice",
      FILE: "nas.key",
      COMMENT: "alice@gate",
    });
    expect(recording.command("nas-on.gate-return-alice.nas-known-host-script").values.KEYS).toBe(
      nasKeys.map((key) => `nas ${key}`).join("\n"),
    );
    expect(recording.command("nas-on.gate-return-alice.nas-client-config-script").values.ENTRY).toBe(
      [
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
    );
  });

  test("has an alias of its own where the settings give it one", async () => {
    const recording = await deploy({ returnPath: [{ ...returnPath[0]!, alias: "my-nas" }] });
    const { values } = recording.command("nas-on.gate-return-alice.my-nas-client-config-script");
    expect(values.FILE).toBe("my-nas.conf");
    expect(values.ENTRY).toContain("\nHost my-nas\n");
  });

  test("goes through the forward that the settings name", async () => {
    const two = {
      ...forwards,
      printer: { remotePort: 2300, target: "192.168.1.5:22", listen: "all" },
    };
    const path = { ...returnPath[0]!, via: "printer" };
    const recording = await deploy({ forwards: two, returnPath: [path] });
    const { ENTRY } = recording.command("nas-on.gate-return-alice.nas-client-config-script").values;
    expect(ENTRY).toContain("\n    HostName 127.0.0.1\n    Port 2300\n");
    expect(recording.command("nas-on.gate-return-alice.nas-authorized-key-script").values.LINE).toMatch(
      /^restrict,pty,from="127\.0\.0\.1,::1,192\.168\.1\.5" /,
    );
  });

  test("is a resource of its own for each account and alias, however these are spelt", async () => {
    const paths = [
      { from: "svc-a", to: "bob", alias: "b" },
      { from: "svc", to: "bob", alias: "a-b" },
    ];
    const recording = await deploy({ returnPath: paths });
    const urns = recording.resources.map(({ urn }) => urn);
    expect(urns.filter((urn, index) => urns.indexOf(urn) !== index)).toEqual([]);
  });
});

describe("a tunnel's outputs", () => {
  test("say where each forward listens and where it leads", async () => {
    const open = { remotePort: 8080, target: "printer:80", listen: "all" };
    const { result } = await deploy({ forwards: { ...forwards, open } });
    expect(await promiseOf(result.endpoints)).toEqual({
      ssh: { endpoint: "127.0.0.1:2222", target: "127.0.0.1:22" },
      web: { endpoint: "127.0.0.1:20345", target: "127.0.0.1:8080" },
      open: { endpoint: "198.18.0.2:8080", target: "printer:80" },
    });
  });

  test.each(["all", "0.0.0.0", "::"])(
    "name the public host where a forward listens on %s",
    async (listen) => {
      const { result } = await deploy({ forwards: { web: { remotePort: 8080, target: 80, listen } } });
      expect(await promiseOf(result.endpoints)).toEqual({
        web: { endpoint: "198.18.0.2:8080", target: "127.0.0.1:80" },
      });
    },
  );

  test("say the very command to log in with, and as whom", async () => {
    const paths = [...returnPath, { from: "root", to: "root", alias: "my-nas" }];
    const { result } = await deploy({ returnPath: paths });
    expect(result.logins).toEqual([
      { on: "gate", as: "alice", command: "ssh nas" },
      { on: "gate", as: "root", command: "ssh my-nas" },
    ]);
  });

  test("name the units, by host", async () => {
    const { result } = await deploy();
    expect(result.units).toEqual({
      nas: ["ssh-tunnel-nas.service", "ssh-tunnel-nas-watchdog.timer"],
      gate: ["ssh-tunnels-ssh-reverse-tunnel-dev-health.timer"],
    });
  });
});

test("a first deployment can be previewed, of which hardly anything is known", async () => {
  const { result, resources } = await record(() => tunnel({ returnPath }).endpoints, true);
  expect(await promiseOf(result)).toBeUndefined();
  expect(resources.map(({ name }) => name)).toContain("nas-on.gate-check-script");
});

describe("wrong arguments get a sentence", () => {
  test.each(["Nas", "-nas", "1nas", "na_s", "nas.home", "a".repeat(25)])("the name '%s'", async (name) => {
    await expect(record(() => tunnel({}, name))).rejects.toThrow(
      `'${name}' is not a valid name for a tunnel, since accounts and units are named after it; use a to z, 0 to 9 and '-', beginning with a letter, at most 24 characters`,
    );
  });

  test("a target that is none", async () => {
    await expect(deploy({ forwards: { web: { remotePort: 8080, target: "printer" } } })).rejects.toThrow(
      "the forward 'web': 'printer' is not a valid target; write host:port, [v6]:port or a port",
    );
  });

  test("are not made where a forward is out of the public host's bounds", async () => {
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
    ["Alice", { returnPath: [{ from: "Alice", to: "bob" }] }],
    ["bob\n", { returnPath: [{ from: "alice", to: "bob\n" }] }],
  ])("the account %j", async (account, changes) => {
    await expect(deploy(changes)).rejects.toThrow(
      `the tunnel 'nas': '${account}' is not a valid name for an account; use a to z, 0 to 9, '_' and '-', at most 32 characters`,
    );
  });

  test.each(["", "../nas", "a b", "a\nb"])("the alias %j", async (alias) => {
    await expect(deploy({ returnPath: [{ from: "alice", to: "bob", alias }] })).rejects.toThrow(
      `the tunnel 'nas': '${alias}' is not a valid alias; use a to z, 0 to 9, '.', '_' and '-', at most 63 characters`,
    );
  });

  test("a return path where no forward leads to an SSH port", async () => {
    await expect(deploy({ forwards: { web: { remotePort: 8080, target: 80 } }, returnPath })).rejects.toThrow(
      "the tunnel 'nas' has no forward to an SSH port; its return path from 'alice' needs one",
    );
  });

  test("a return path through a forward that is not there", async () => {
    await expect(deploy({ returnPath: [{ ...returnPath[0]!, via: "sch" }] })).rejects.toThrow(
      "the tunnel 'nas' has no forward 'sch'; its return path from 'alice' needs one",
    );
  });
});

test("a name of 24 characters is not too long", async () => {
  const name = "a".repeat(24);
  const { commands } = await record(() => tunnel({}, name));
  expect(commands.map((command) => command.name)).toContain(`${name}-on.gate-check-script`);
});
