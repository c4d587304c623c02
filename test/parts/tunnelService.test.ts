import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { fingerprintOfScript } from "../../components/remote/remoteComponent.ts";
import type { TunnelServiceArgs } from "../../components/parts/tunnelService/tunnelService.ts";
import {
  programsOf,
  tunnelService,
  tunnelUnits,
} from "../../components/parts/tunnelService/tunnelService.ts";
import { installed } from "../support/expectScript.ts";
import { gateKeys, nas } from "../support/hosts.ts";
import { onePart } from "../support/onePart.ts";
import { partOf } from "../support/partOf.ts";
import { record } from "../../tools/mocks.ts";
import { promiseOf } from "../support/promiseOf.ts";

const args: TunnelServiceArgs = {
  host: nas,
  tunnel: "nas",
  account: "tunnel-nas",
  login: {
    file: "nas",
    keyFile: "nas.key",
    aliases: ["gate", "ssh-tunnel-nas"],
    address: pulumi.output("gate.example.org"),
    port: 2200,
    account: "tunnel-nas",
    hostKeys: pulumi.output(gateKeys),
    options: { BatchMode: "yes" },
  },
  remoteForwards: ["127.0.0.1:2222:127.0.0.1:22", pulumi.output("*:20345:127.0.0.1:80")],
  forwards: [
    "ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback",
    pulumi.output("web,127.0.0.1,20345,tcp,127.0.0.1,80,all"),
  ],
  fingerprint: pulumi.output("abc"),
};
const checks = "ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback web,127.0.0.1,20345,tcp,127.0.0.1,80,all";
const programs = "/opt/ssh-reverse-tunnel/ssh-tunnel-nas/bin";

const valuesOf = async (changes: Partial<TunnelServiceArgs> = {}) =>
  (await partOf(() => tunnelService({ ...args, ...changes }), nas)).values;

/** The lines of one of its units. */
const unit = async (
  which: "SERVICE_UNIT" | "CHECK_UNIT" | "TIMER_UNIT",
  changes?: Partial<TunnelServiceArgs>,
) => (await valuesOf(changes))[which]!.split("\n");

describe("the internal end of a tunnel", () => {
  test("is a part with everything that it consists of", async () => {
    const part = await partOf(() => tunnelService(args), nas);
    const { SERVICE_UNIT, CHECK_UNIT, TIMER_UNIT } = part.values;
    expect(part).toEqual({
      script: "tunnelService",
      values: {
        ACCOUNT: "tunnel-nas",
        FILE: "nas",
        ALIAS: "ssh-tunnel-nas",
        FORWARDS: checks,
        ENTRY: [
          "# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.",
          "Host gate ssh-tunnel-nas",
          "    HostName gate.example.org",
          "    Port 2200",
          "    User tunnel-nas",
          "    IdentityFile ~/.ssh/ssh-reverse-tunnel/nas.key",
          "    IdentitiesOnly yes",
          "    IdentityAgent none",
          "    AddKeysToAgent no",
          "    PKCS11Provider none",
          "    PubkeyAuthentication yes",
          "    PreferredAuthentications publickey",
          "    HostKeyAlias gate",
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
          "    BatchMode yes",
        ].join("\n"),
        KEYS: gateKeys.map((key) => `gate ${key}`).join("\n"),
        PROGRAMS: programs,
        TUNNEL_PROGRAM: installed("tunnel"),
        NETWORK_PROGRAM: installed("network"),
        WATCHDOG_PROGRAM: installed("watchdog"),
        STATUS_PROGRAM: installed("status"),
        METRICS: "/run/ssh-tunnel-nas-watchdog/ssh-tunnel-nas.prom",
        METRICS_FOLDER: "",
        SERVICE: "ssh-tunnel-nas",
        SERVICE_UNIT: SERVICE_UNIT!,
        CHECK_UNIT: CHECK_UNIT!,
        TIMER_UNIT: TIMER_UNIT!,
        SECONDS_TO_WAIT: "30",
      },
    });
    expect(tunnelUnits("nas")).toEqual(["ssh-tunnel-nas.service", "ssh-tunnel-nas-watchdog.timer"]);
  });

  test("waits for the tunnel to work as long as the settings allow", async () => {
    expect(await valuesOf({ timeoutSec: 120 })).toMatchObject({ SECONDS_TO_WAIT: "120" });
  });

  test("has a new fingerprint when any of it changes", async () => {
    const fingerprint = async (changes?: Partial<TunnelServiceArgs>) => {
      const part = () => tunnelService({ ...args, ...changes });
      return (await record(() => promiseOf(fingerprintOfScript(onePart("x", nas, part()))))).result;
    };
    const first = await fingerprint();
    expect(await fingerprint()).toBe(first);
    const { login } = args;
    const others: Record<string, Partial<TunnelServiceArgs>> = {
      key: { fingerprint: "def" },
      port: { login: { ...login, port: 22 } },
      hostKeys: { login: { ...login, hostKeys: ["ssh-rsa A"] } },
      forwards: { remoteForwards: ["127.0.0.1:2223:127.0.0.1:22"] },
      watchdog: { watchdogIntervalSec: 60 },
    };
    for (const [what, changes] of Object.entries(others)) {
      expect(await fingerprint(changes), what).not.toBe(first);
    }
  });
});

describe("the way out", () => {
  const jump = {
    login: {
      ...args.login,
      aliases: ["ssh-tunnel-nas.jump"],
      address: "dmz.example.org",
      port: 22,
      account: "relay",
      hostKeys: [gateKeys[0]!],
    },
    publicKey: "ssh-ed25519 AAAA x",
  };
  const proxy = {
    kind: "http",
    host: "proxy.example.org",
    port: 3128,
    user: "site",
    password: "pass",
  } as const;
  const commands = (entry: string | undefined) =>
    entry!.split("\n").filter((line) => /^Host|ProxyCommand|ProxyUseFdpass/.test(line));

  test("leads through a proxy, with what it is told in a file of its own, which is a secret", async () => {
    const recording = await record(() => onePart("x", nas, tunnelService({ ...args, via: { proxy } })));
    const { values } = recording.command("x").parts[0]!;
    expect(commands(values.ENTRY)).toEqual([
      "Host gate ssh-tunnel-nas",
      `    ProxyCommand ${programs}/proxy http nas`,
      "    ProxyUseFdpass no",
    ]);
    expect(values.PROXY).toBe(
      "proxy.example.org 3128\nCONNECT gate.example.org:2200 HTTP/1.1\nHost: gate.example.org:2200\nProxy-Authorization: Basic c2l0ZTpwYXNz",
    );
    expect(values.PROXY_PROGRAM).toBe(installed("proxy"));
    expect(recording.command("x").secrets).toContain("stdin");
    expect(values.SERVICE_UNIT).toContain("\nEnvironment=SHELL=/bin/sh\n");
  });

  test("leads through a jump host, with the key of the tunnel and a pinned host key", async () => {
    const { ENTRY, KEYS, ADVICE, PROXY } = await valuesOf({ via: { jump } });
    expect(commands(ENTRY)).toEqual([
      "Host gate ssh-tunnel-nas",
      `    ProxyCommand ${programs}/proxy jump '[%h]:%p' ssh-tunnel-nas.jump`,
      "    ProxyUseFdpass no",
      "Host ssh-tunnel-nas.jump",
    ]);
    expect(KEYS).toContain(`\nssh-tunnel-nas.jump ${gateKeys[0]}`);
    expect(ADVICE).toMatch(
      /'relay' on dmz\.example\.org: restrict,port-forwarding,permitopen="gate\.example\.org:2200" ssh-ed25519 AAAA\S* ssh-tunnel-nas$/,
    );
    expect(PROXY).toBeUndefined();
  });

  test("leads through a proxy to a jump host", async () => {
    const { ENTRY, PROXY } = await valuesOf({ via: { proxy, jump } });
    expect(commands(ENTRY)).toEqual([
      "Host gate ssh-tunnel-nas",
      `    ProxyCommand ${programs}/proxy jump '[%h]:%p' ssh-tunnel-nas.jump`,
      "    ProxyUseFdpass no",
      "Host ssh-tunnel-nas.jump",
      `    ProxyCommand ${programs}/proxy http nas`,
      "    ProxyUseFdpass no",
    ]);
    expect(PROXY).toContain("CONNECT dmz.example.org:22 HTTP/1.1");
  });
});

describe("the service", () => {
  test("starts ssh with an -R for each forward, as the tunnel's account", async () => {
    const lines = await unit("SERVICE_UNIT");
    expect(lines).toContain(
      `ExecStart=${programs}/tunnel ssh-tunnel-nas 30 -R 127.0.0.1:2222:127.0.0.1:22 -R *:20345:127.0.0.1:80`,
    );
    expect(lines).toContain("User=tunnel-nas");
    expect(lines).toContain("RuntimeDirectory=ssh-tunnel-nas");
  });

  test("names its key, so that a new key is tried", async () => {
    const text = async (fingerprint: string) => (await valuesOf({ fingerprint })).SERVICE_UNIT;
    expect(await text("abc")).toContain("abc\n");
    expect(await text("abc")).not.toBe(await text("def"));
  });

  test("restarts at once, or after the delay in the settings", async () => {
    expect(await unit("SERVICE_UNIT")).toContain("RestartSec=0.1");
    expect(await unit("SERVICE_UNIT", { restartSec: 10 })).toContain("RestartSec=10");
  });

  test("pauses between attempts for as long as the settings allow", async () => {
    expect((await unit("SERVICE_UNIT", { restartMaxDelaySec: 300 })).join()).toContain(
      "/tunnel ssh-tunnel-nas 300 -R",
    );
  });
});

describe("the watchdog", () => {
  test("repairs the tunnel as the account that owns the control socket, and stores what it finds", async () => {
    const lines = await unit("CHECK_UNIT");
    expect(lines).toEqual(
      expect.arrayContaining([
        `ExecStart=${programs}/watchdog repair ssh-tunnel-nas /run/ssh-tunnel-nas ${checks}`,
        "RuntimeDirectory=ssh-tunnel-nas-watchdog",
        "RuntimeDirectoryPreserve=yes",
        "Environment=CHECK_INTERVAL=15 ACCOUNT=tunnel-nas KEY_MADE=@made@",
      ]),
    );
  });

  test("may reset the back-off of the tunnel's restarts", async () => {
    expect(await unit("CHECK_UNIT")).toContain("ReadWritePaths=-/run/ssh-tunnel-nas");
  });

  test("runs every 15 seconds, or as often as the settings say", async () => {
    expect(await unit("TIMER_UNIT")).toEqual(
      expect.arrayContaining(["Unit=ssh-tunnel-nas-watchdog.service", "OnUnitActiveSec=15"]),
    );
    expect(await unit("TIMER_UNIT", { watchdogIntervalSec: 60 })).toContain("OnUnitActiveSec=60");
  });
});

test.each(["SERVICE_UNIT", "CHECK_UNIT"] as const)(
  "%s sees the home of an account that existed before, and no home otherwise",
  async (which) => {
    expect(await unit(which)).toContain("ProtectHome=yes");
    expect(await unit(which, { account: "robot" })).toContain("ProtectHome=read-only");
  },
);

test("a tunnel's programs are in a folder named after it", () => {
  expect(programsOf(nas, "nas")).toBe(programs);
  expect(programsOf({ ...nas, toolsDirectory: "/srv/tools" }, "nas")).toBe("/srv/tools/ssh-tunnel-nas/bin");
});
