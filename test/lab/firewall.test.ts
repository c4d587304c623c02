import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { OpenPort } from "../../components/parts/firewallPorts/firewallPorts.ts";
import { FirewallPorts } from "../../components/parts/firewallPorts/firewallPorts.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { hostWithTools, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { openStack } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";
import { leftovers } from "./support/leftovers.ts";
import { oneIn, sometimes } from "./support/sample.ts";
import { tunnelSettings } from "./support/settings.ts";
import { Visitor } from "./support/visitor.ts";

/** Who can reach a port, seen from a third host with addresses in several networks. */
describe("a port open to others", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let visitor: Visitor;

  beforeAll(async () => {
    lab = await Lab.up({ name: "firewall", hosts: ["gate", "nas", "guest"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    visitor = await Visitor.on(lab.host("guest"), gate);
    await nas.run("mkdir /srv/www && echo nas >/srv/www/index.html");
    await gate.run("mkdir /srv/www && echo gate >/srv/www/index.html");
    await nas.run("systemd-run --quiet --unit web busybox httpd -f -p 127.0.0.1:80 -h /srv/www");
  });

  afterAll(() => Lab.clear("firewall"));

  /** FirewallPorts by itself. */
  const ports = (stack: string, openPorts: OpenPort[]) =>
    openStack({
      project: "firewall",
      stack,
      program: () =>
        Promise.resolve(void new FirewallPorts("web", { host: hostWithTools(lab, gate), ports: openPorts })),
      directory: `${lab.directory}/stacks/${stack}`,
    });

  /** The whole program, whose tunnel forwards the port from nas. */
  const tunnel = async (sources: string[]) => {
    const forwards = {
      ssh: { remotePort: 2222, target: 22 },
      web: { remotePort: 8080, target: 80, listen: "all", sources },
    };
    return openProgram(lab, { stack: "tunnel", config: tunnelSettings(lab, gate, nas, { forwards }) });
  };

  /** A page of gate's own at that port, until its next boot. */
  const serve = (port = 8080) =>
    gate.run(
      `systemctl is-active --quiet web-${port} || systemd-run --quiet --unit web-${port} busybox httpd -f -p ${port} -h /srv/www`,
    );

  const open = (page: string) => ({
    "in, IPv4": page,
    "in, IPv6": page,
    "out, IPv4": page,
    "out, IPv6": page,
  });
  const [nobody, everyone] = [open(""), open("gate")];
  const becomes = (expected: object, port = 8080) =>
    expect.poll(() => visitor.reaches(port), { timeout: 120_000 }).toEqual(expected);

  const awaited = "until firewall-cmd --quiet --state; do sleep 0.1; done";
  const walls = {
    firewalld: {
      begin: `systemctl enable --quiet --now firewalld && ${awaited}`,
      end: "systemctl disable --quiet --now firewalld",
      reload: "firewall-cmd --quiet --reload",
      restart: `systemctl restart firewalld && ${awaited}`,
      // A restart changes their order.
      rules: "firewall-cmd --list-all-zones | sort; firewall-cmd --permanent --list-all-zones | sort",
      admit: (network: string, noMore = false) => `for state in '' --permanent; do
        firewall-cmd --quiet $state --${noMore ? "remove" : "add"}-rich-rule='rule family=ipv4 source address=${network} port port=8080 protocol=tcp accept'
      done`,
      // By a port, a rule, a protocol, and the zone itself.
      lettingAllIn: [
        "--change-interface eth0",
        "--add-port 8000-8100/tcp",
        "--add-rich-rule 'rule port port=8000-8100 protocol=tcp accept'",
        "--add-rich-rule 'rule priority=-1 protocol value=tcp accept'",
        "--add-protocol tcp",
      ]
        .map((option) => `firewall-cmd --quiet --zone trusted ${option}`)
        .join(" && "),
      lettingNoneIn: "firewall-cmd --quiet --reload",
      page: "nas",
      open: (sources: string[]) => tunnel(sources),
    },
    ufw: {
      begin: "ufw allow 22/tcp >/dev/null && ufw --force enable >/dev/null && systemctl enable --quiet ufw",
      end: "ufw --force disable >/dev/null && systemctl disable --quiet ufw",
      reload: "ufw reload >/dev/null",
      restart: "ufw --force disable >/dev/null && ufw --force enable >/dev/null",
      rules: "ufw show added",
      admit: (network: string, noMore = false) =>
        `ufw ${noMore ? "delete " : ""}allow from ${network} to any port 8080 >/dev/null`,
      lettingAllIn:
        "{ ufw allow 70:90,8000:8100/tcp && ufw allow in on eth0 && ufw allow 8080 && ufw default allow; } >/dev/null",
      lettingNoneIn:
        "{ ufw delete allow 70:90,8000:8100/tcp && ufw delete allow in on eth0 && ufw delete allow 8080 && ufw default deny; } >/dev/null",
      page: "gate",
      open: (sources: string[]) => ports("ufw", [{ port: 8080, sources }]),
    },
  };

  describe.each(oneIn(2, Object.entries(walls), "firewalls"))(
    "with %s, for some networks only",
    (_, { begin, end, reload, restart, rules, admit, lettingAllIn, lettingNoneIn, page, open: openFor }) => {
      let stack: LabStack;
      let before: { files: Snapshot; rules: string };
      const rulesNow = async () => (await gate.run(rules)).stdout;

      beforeAll(async () => {
        await gate.run(begin);
        if (page === "gate") await serve();
        before = { files: await gate.snapshot(), rules: await rulesNow() };
        stack = await openFor(visitor.networks("in"));
      });

      afterAll(() => gate.run(end));

      const inside = { ...nobody, "in, IPv4": page, "in, IPv6": page };

      it("is reachable from these, over IPv4 and IPv6, and from nowhere else", async () => {
        await stack.up();
        expect(await visitor.reaches(8080)).toEqual(inside);
      });

      it("is reachable in the same way after a reload of the firewall and after a reboot", async () => {
        await gate.run(reload);
        await becomes(inside);
        await gate.reboot();
        if (page === "gate") await serve();
        await becomes(inside);
      });

      it("is reachable from other networks, and no longer from these, after the settings change", async () => {
        stack = await openFor([visitor.networks("out")[0], visitor.networks("in")[1]]);
        await stack.up();
        await gate.run(reload);
        await becomes({ ...nobody, "in, IPv6": page, "out, IPv4": page });
      });

      it("leaves the rules and their files as before after destroy", async () => {
        await stack.destroy();
        expect(await rulesNow()).toBe(before.rules);
        const changes = await leftovers(gate, before.files);
        // ufw's own reload writes that it is enabled.
        expect(changes.filter((line) => line !== "changed /etc/ufw/ufw.conf (mtime)")).toEqual([]);
      });

      sometimes.it(
        "keeps the administrator's rules for the same and for other networks, and shared rules until the last stack is gone",
        async () => {
          const [four, six] = visitor.networks("in");
          const other = visitor.networks("out")[0];
          await gate.run(`${admit(four)}; ${admit("192.0.2.0/24")}`);
          const withTheirs = await rulesNow();
          expect(withTheirs).toContain("192.0.2.0/24");
          const [first, second] = [
            await ports("first", [{ port: 8080, sources: [four, six, other] }]),
            await ports("second", [{ port: 8080, sources: [six] }]),
          ];
          await first.up();
          await second.up();
          expect(await rulesNow()).toContain(other);
          await gate.run(restart);
          await first.destroy();
          expect(await rulesNow()).toContain(six);
          expect(await rulesNow()).not.toContain(other);
          await second.destroy();
          expect(await rulesNow()).toBe(withTheirs);
          await gate.run(`${admit(four, true)}; ${admit("192.0.2.0/24", true)}`);
        },
      );

      sometimes.it(
        "is reachable from nowhere else, whatever the administrator's rules allow, and these are as before after destroy",
        async () => {
          await serve();
          await gate.run(lettingAllIn);
          await becomes(everyone);
          const theirs = await rulesNow();
          const some = await ports("some", [{ port: 8080, sources: visitor.networks("in") }]);
          await some.up();
          await becomes({ ...nobody, "in, IPv4": "gate", "in, IPv6": "gate" });
          await some.destroy();
          expect(await rulesNow()).toBe(theirs);
          await becomes(everyone);
          await gate.run(`${lettingNoneIn}`);
        },
      );

      sometimes.it(
        "is closed to all but some networks after being open to everyone, and then open to everyone again",
        async () => {
          await serve();
          const [all, some] = [[{ port: 8080 }], [{ port: 8080, sources: visitor.networks("in") }]];
          await (await ports("all", all)).up();
          await becomes(everyone);
          await (await ports("all", some)).up();
          await becomes({ ...nobody, "in, IPv4": "gate", "in, IPv6": "gate" });
          const stack = await ports("all", all);
          await stack.up();
          await becomes(everyone);
          await stack.destroy();
          await becomes(nobody);
        },
      );
    },
  );

  it("is refused if ufw has a rule for exactly the same, which our rule would replace", async () => {
    const { begin, end, rules } = walls.ufw;
    await gate.run(begin);
    const [four] = visitor.networks("in");
    const rulesOfUfw: [string, OpenPort][] = [
      ["limit 8080/tcp", { port: 8080 }],
      [`allow from ${four} to any port 8080 proto tcp`, { port: 8080, sources: [four] }],
    ];
    for (const [theirs, port] of oneIn(2, rulesOfUfw, "rules of ufw")) {
      await gate.run(`ufw ${theirs}`);
      const before = (await gate.run(rules)).stdout;
      expect(await failedUp(await ports("same", [port]))).toContain(
        `ufw has the rule '${theirs}' already, which ours would replace; remove it, 'ufw delete ${theirs}', or choose another port`,
      );
      expect((await gate.run(rules)).stdout).toBe(before);
      await gate.run(`ufw delete ${theirs}`);
    }
    await gate.run(end);
  });

  sometimes.it(
    "is closed to others again, and stays open to its sources, after somebody removed ufw's rule",
    async () => {
      const { begin, end, rules } = walls.ufw;
      await gate.run(`${begin} && ufw default allow >/dev/null`);
      onTestFinished(async () => {
        await gate.run(`ufw default deny >/dev/null; ${end}`);
      });
      await serve();
      const before = (await gate.run(rules)).stdout;
      const [four, six] = visitor.networks("in");
      const other = await ports("other", [{ port: 8080, sources: [six] }]);
      await other.up();
      await (await ports("some", [{ port: 8080, sources: [four] }])).up();
      const inside = { ...nobody, "in, IPv4": "gate", "in, IPv6": "gate" };
      await becomes(inside);
      for (const half of ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]) {
        await gate.run(`ufw delete deny from ${half} to any port 8080 proto tcp`);
      }
      await becomes(everyone);
      const stack = await ports("some", [{ port: 8080, sources: [four, "192.0.2.0/24"] }]);
      await stack.up();
      await becomes(inside);
      await other.destroy();
      await stack.destroy();
      expect((await gate.run(rules)).stdout).toBe(before);
    },
  );

  sometimes.it(
    "is opened only for IPv4 if ufw is configured without IPv6, and IPv6 is then refused",
    async () => {
      const { begin, end, rules } = walls.ufw;
      await gate.run("cp -a /etc/default/ufw /tmp/ && sed -i s/^IPV6=yes/IPV6=no/ /etc/default/ufw");
      onTestFinished(async () => {
        await gate.run(`${end}; cp -a /tmp/ufw /etc/default/ufw`);
      });
      await gate.run(begin);
      await serve();
      const before = (await gate.run(rules)).stdout;
      const stack = await ports("four", [{ port: 8080, sources: visitor.networks("in") }]);
      await stack.up();
      await becomes({ ...nobody, "in, IPv4": "gate" });
      await stack.destroy();
      expect((await gate.run(rules)).stdout).toBe(before);
    },
  );

  describe("on the host itself", () => {
    beforeAll(async () => {
      await gate.run("systemctl stop 'web-*'");
      await serve();
      await serve(8083);
    });

    it("is opened and closed in both firewalld and ufw if both are active", async () => {
      const { firewalld, ufw } = walls;
      await gate.run(`${firewalld.begin} && ${ufw.begin}`);
      const rules = async () => (await gate.run(`${firewalld.rules}; ${ufw.rules}`)).stdout;
      const before = await rules();
      const stack = await ports("both", [{ port: 8080, sources: visitor.networks("in") }]);
      await stack.up();
      expect(await visitor.reaches(8080)).toEqual({ ...nobody, "in, IPv4": "gate", "in, IPv6": "gate" });
      await stack.destroy();
      expect(await rules()).toBe(before);
      expect(await visitor.reaches(8080)).toEqual(nobody);
      await gate.run(`${ufw.end}; ${firewalld.end}`);
    });

    describe("in firewalld's zones", () => {
      let stack: LabStack;
      const zone = async (name: string, option: string) =>
        (
          await gate.run(`for state in '' --permanent; do firewall-cmd $state --zone ${name} ${option}; done`)
        ).stdout.split("\n");

      beforeAll(async () => {
        const [inside = "", outside = ""] = [visitor.networks("in")[0], visitor.networks("out")[1]];
        // What no rule accepts is dropped in the zone of the interface, and rejected in the default one.
        await gate.run(
          [
            walls.firewalld.begin,
            "firewall-cmd --quiet --permanent --zone internal --change-interface eth0",
            "firewall-cmd --quiet --permanent --zone internal --set-target DROP",
            "firewall-cmd --quiet --permanent --zone internal --add-port 8081/tcp --add-port 8084/tcp",
            "firewall-cmd --quiet --permanent --zone internal --add-service http",
            "firewall-cmd --quiet --reload",
            "firewall-cmd --quiet --zone internal --add-port 8082/tcp",
            "firewall-cmd --quiet --zone internal --remove-port 8081/tcp",
            `firewall-cmd --quiet --zone work --add-source ${inside}`,
            `firewall-cmd --quiet --zone drop --add-source ${outside}`,
          ].join(" && "),
        );
        stack = await ports("zones", [
          { port: 8080 },
          { port: 8081 },
          { port: 8082 },
          { port: 80 },
          { port: 8083, address: gate.address },
        ]);
      });
      afterAll(() => gate.run(walls.firewalld.end));

      it("is opened in the zone of the interface where packets arrive, which is not the default zone", async () => {
        expect(await visitor.reaches(8080)).toEqual(nobody);
        await stack.up();
        expect(await visitor.reaches(8080)).toMatchObject({ "in, IPv6": "gate", "out, IPv4": "gate" });
        // For interfaces that come later.
        expect((await zone("public", "--list-ports")).every((list) => list.includes("8080/tcp"))).toBe(true);
      });

      it("is opened in a zone that has networks as sources, unless it refuses them", async () => {
        expect(await visitor.reaches(8080)).toMatchObject({ "in, IPv4": "gate", "out, IPv6": "" });
        expect(await zone("drop", "--list-ports")).toEqual(["", ""]);
      });

      it("at one address is opened only in the zone of that address", async () => {
        expect(await visitor.reaches(8083)).toEqual({ ...everyone, "in, IPv6": "", "out, IPv6": "" });
        expect(await zone("public", "--list-rich-rules")).toEqual(["", ""]);
      });

      it("is opened in both the running and the permanent state if only one has it, and then left open in that one", async () => {
        const sorted = (lists: string[]) => lists.map((list) => list.split(" ").sort().join(" "));
        const both = "80/tcp 8080/tcp 8081/tcp 8082/tcp 8084/tcp";
        expect(sorted(await zone("internal", "--list-ports"))).toEqual([both, both]);
        await stack.destroy();
        expect(sorted(await zone("internal", "--list-ports"))).toEqual([
          "8082/tcp 8084/tcp",
          "8081/tcp 8084/tcp",
        ]);
        expect(await visitor.reaches(8080)).toEqual(nobody);
      });

      it("is left open if a service that the administrator enabled opened it", async () => {
        const lists = await zone("internal", "--list-services");
        expect(lists.map((list) => list.split(" ").includes("http"))).toEqual([true, true]);
      });
    });

    describe("if neither firewalld nor ufw is active,", () => {
      it("cannot have sources, since nothing would enforce them", async () => {
        const stack = await ports("unguarded", [{ port: 8080, sources: visitor.networks("in") }]);
        expect(await failedUp(stack)).toContain(
          "neither firewalld nor ufw is active here, so nothing would limit port 8080 to 'sources'; start one, or leave 'sources' out",
        );
      });

      it("is left closed if nftables refuses it by a policy, a last rule or iptables, with a message that has the commands to open it", async () => {
        // A packet must pass all of these chains.
        const RULESET = `table inet mine {
chain by-policy {
type filter hook input priority 0; policy drop;
ct state established accept
tcp dport { 22, 80 } accept
meta l4proto ipv6-icmp accept
}
chain by-last-rule {
type filter hook input priority 1; policy accept;
ct state established accept
tcp dport 22 accept
meta l4proto ipv6-icmp accept
counter log prefix "no: " reject with icmpx admin-prohibited
}
}`;
        const IPTABLES = `for each in iptables ip6tables; do
          $each -A INPUT -m state --state ESTABLISHED -j ACCEPT
          $each -A INPUT -p tcp --dport 22 -j ACCEPT
        done
        ip6tables -A INPUT -p ipv6-icmp -j ACCEPT; iptables -A INPUT -j REJECT; ip6tables -P INPUT DROP`;
        const ruleset = async () => withoutCounters((await gate.run("nft list ruleset")).stdout);
        await gate.run("nft -f -", { input: RULESET });
        await gate.run(IPTABLES);
        try {
          const before = await ruleset();
          const commands = (port: number) => [
            `nft insert rule inet mine by-policy tcp dport ${port} accept`,
            `nft insert rule inet mine by-last-rule tcp dport ${port} accept`,
            `iptables -I INPUT -p tcp --dport ${port} -j ACCEPT`,
            `ip6tables -I INPUT -p tcp --dport ${port} -j ACCEPT`,
          ];
          const said = (port: number, command: string) =>
            `refuses what no rule of it accepts, and is left alone; unless one accepts port ${port} already: '${command}', and the same in the file that it is loaded from`;
          const { stdout } = await (await ports("nft", [{ port: 8080 }])).up();
          for (const command of commands(8080)) expect(stdout).toContain(said(8080, command));
          expect(await ruleset()).toBe(before);
          expect(await visitor.reaches(8080)).toEqual(nobody);
          // The rules of only one chain open nothing.
          await gate.run(commands(8080)[0]!);
          expect(await visitor.reaches(8080)).toEqual(nobody);
          await gate.run(commands(8080).slice(1).join(" && "));
          expect(await visitor.reaches(8080)).toEqual(everyone);
          const theirs = await ruleset();
          const stack = await ports("nft", [{ port: 8080 }, { port: 8081 }]);
          const again = (await stack.up()).stdout;
          expect(again).toContain(said(8081, commands(8081)[0] ?? ""));
          expect(again, "what is there").not.toContain(said(8080, commands(8080)[0] ?? ""));
          await stack.destroy();
          expect(await ruleset()).toBe(theirs);
        } finally {
          await gate.run("nft flush ruleset");
        }
      });
    });
  });
});

/** A ruleset as somebody wrote it, without the packet counters. */
const withoutCounters = (ruleset: string) =>
  ruleset.replaceAll(/packets \d+ bytes \d+/g, "packets 0 bytes 0");
