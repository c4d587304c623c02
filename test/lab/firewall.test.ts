import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenPort } from "../../components/firewallPorts.ts";
import { FirewallPorts } from "../../components/firewallPorts.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labHost, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { openStack } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";
import { leftovers } from "./support/leftovers.ts";
import { tunnelSettings } from "./support/settings.ts";
import { Visitor } from "./support/visitor.ts";

/** Who reaches a port, seen from a third host with addresses of its own in several networks. */
describe("a port that others may reach", () => {
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
        Promise.resolve(void new FirewallPorts("web", { host: labHost(lab, gate), ports: openPorts })),
      directory: `${lab.directory}/stacks/${stack}`,
    });

  /** The whole program, whose tunnel brings the port from nas. */
  const tunnel = async (sources: string[]) => {
    const forwards = {
      ssh: { remotePort: 2222, target: 22 },
      web: { remotePort: 8080, target: 80, listen: "all", sources },
    };
    return openProgram(lab, { stack: "tunnel", config: tunnelSettings(lab, gate, nas, { forwards }) });
  };

  /** A page of gate's own at that port, until its next boot. */
  const serve = (port = 8080) =>
    gate.run(`systemd-run --quiet --unit web-${port} busybox httpd -f -p ${port} -h /srv/www`);

  const open = (page: string) => ({
    "in, IPv4": page,
    "in, IPv6": page,
    "out, IPv4": page,
    "out, IPv6": page,
  });
  const [nobody, everyone] = [open(""), open("gate")];
  const becomes = (expected: object, port = 8080) =>
    expect.poll(() => visitor.reaches(port), { timeout: 60_000 }).toEqual(expected);

  const awaited = "until firewall-cmd --quiet --state; do sleep 0.1; done";
  const walls = {
    firewalld: {
      begin: `systemctl enable --quiet --now firewalld && ${awaited}`,
      end: "systemctl disable --quiet --now firewalld",
      reload: "firewall-cmd --quiet --reload",
      restart: `systemctl restart firewalld && ${awaited}`,
      // A restart puts them in another order.
      rules: "firewall-cmd --list-all | sort; firewall-cmd --permanent --list-all | sort",
      admit: (network: string, noMore = false) => `for state in '' --permanent; do
        firewall-cmd --quiet $state --${noMore ? "remove" : "add"}-rich-rule='rule family=ipv4 source address=${network} port port=8080 protocol=tcp accept'
      done`,
      lettingAllIn: [
        ["--add-port 8000-8100/tcp", 8080, "a rule of firewalld that is not ours"],
        [
          "--add-rich-rule 'rule port port=8000-8100 protocol=tcp accept'",
          8080,
          "a rule of firewalld that is not ours",
        ],
        ["--add-service http", 80, "the service http in firewalld's zone public"],
        [
          "--zone trusted --change-interface eth0",
          8080,
          "the zone trusted of firewalld, which accepts everything",
        ],
      ].map(([option, ...expected]) => [
        `firewall-cmd --quiet ${option}`,
        "firewall-cmd --quiet --reload",
        ...expected,
      ]),
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
        `ufw ${noMore ? "delete " : ""}allow from ${network} to any port 8080 proto tcp >/dev/null`,
      lettingAllIn: [
        ["ufw allow 8080/tcp", "ufw delete allow 8080/tcp", 8080, "a rule of ufw that is not ours"],
        [
          "ufw allow 70:90,8000:8100/tcp",
          "ufw delete allow 70:90,8000:8100/tcp",
          8080,
          "a rule of ufw that is not ours",
        ],
        ["ufw default allow", "ufw default deny", 8080, "ufw, which allows by default what comes in"],
      ],
      page: "gate",
      open: (sources: string[]) => ports("ufw", [{ port: 8080, sources }]),
    },
  };

  describe.each(Object.entries(walls))(
    "with %s, from some networks",
    (_, { begin, end, reload, restart, rules, admit, lettingAllIn, page, open: openFor }) => {
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

      it("is reached from these, IPv4 and IPv6, and from nowhere else", async () => {
        await stack.up();
        expect(await visitor.reaches(8080)).toEqual(inside);
      });

      it("is so after the firewall's reload, and after a reboot", async () => {
        await gate.run(reload);
        await becomes(inside);
        await gate.reboot();
        if (page === "gate") await serve();
        await becomes(inside);
      });

      it("is reached from others, and no longer from these, where the settings name others", async () => {
        stack = await openFor([visitor.networks("out")[0], visitor.networks("in")[1]]);
        await stack.up();
        await gate.run(reload);
        await becomes({ ...nobody, "in, IPv6": page, "out, IPv4": page });
      });

      it("is as it was after destroy: the rules, their files", async () => {
        await stack.destroy();
        expect(await rulesNow()).toBe(before.rules);
        const changes = await leftovers(gate, before.files);
        // ufw's own reload writes that it is enabled.
        expect(changes.filter((line) => line !== "changed /etc/ufw/ufw.conf (mtime)")).toEqual([]);
      });

      it("keeps rules of the administrator's, the same and for others, and what two stacks need until the last is gone", async () => {
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
      });

      it("is refused where everyone may reach it by what the administrator has set", async () => {
        for (const [make, unmake, port, by] of lettingAllIn) {
          await gate.run(String(make));
          const theirs = await rulesNow();
          const stranger = await ports("stranger", [{ port: Number(port), sources: visitor.networks("in") }]);
          expect(await failedUp(stranger)).toContain(
            `everyone may reach port ${port} by ${by}, so that 'sources' would keep nobody out; take that away, or leave 'sources' out`,
          );
          expect(await rulesNow()).toBe(theirs);
          await gate.run(String(unmake));
        }
      });
    },
  );

  describe("on the host itself", () => {
    beforeAll(async () => {
      await gate.run("systemctl stop 'web-*'");
      await serve();
      await serve(8083);
    });

    it("is opened in firewalld and in ufw where both are active, and closed in both", async () => {
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

      it("is opened where it arrives: in the zone of the interface, which is not the default one", async () => {
        expect(await visitor.reaches(8080)).toEqual(nobody);
        await stack.up();
        expect(await visitor.reaches(8080)).toMatchObject({ "in, IPv6": "gate", "out, IPv4": "gate" });
        // For interfaces that come later.
        expect((await zone("public", "--list-ports")).every((list) => list.includes("8080/tcp"))).toBe(true);
      });

      it("is opened in a zone that takes networks, but for one that refuses them", async () => {
        expect(await visitor.reaches(8080)).toMatchObject({ "in, IPv4": "gate", "out, IPv6": "" });
        expect(await zone("drop", "--list-ports")).toEqual(["", ""]);
      });

      it("is opened at one address in that address's zone alone", async () => {
        expect(await visitor.reaches(8083)).toEqual({ ...everyone, "in, IPv6": "", "out, IPv6": "" });
        expect(await zone("public", "--list-rich-rules")).toEqual(["", ""]);
      });

      it("that is open in one state only is opened in both, and then open in that one again", async () => {
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

      it("is left open where a service of the administrator's opened it", async () => {
        const lists = await zone("internal", "--list-services");
        expect(lists.map((list) => list.split(" ").includes("http"))).toEqual([true, true]);
      });
    });

    describe("where neither firewalld nor ufw is active", () => {
      it("is refused to have sources, which nothing would see to", async () => {
        const stack = await ports("unguarded", [{ port: 8080, sources: visitor.networks("in") }]);
        expect(await failedUp(stack)).toContain(
          "neither firewalld nor ufw is active here, so that nothing would keep others than 'sources' from port 8080; start one, or leave 'sources' out",
        );
      });

      it("and nftables refuses, by a policy, a last rule or iptables, is left alone, with the very commands that would open it", async () => {
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
          const [four, six] = visitor.networks("in");
          const commands = (port: number) => [
            `nft insert rule inet mine by-policy ip saddr ${four} tcp dport ${port} accept`,
            `nft insert rule inet mine by-policy ip6 saddr ${six} tcp dport ${port} accept`,
            `nft insert rule inet mine by-last-rule ip saddr ${four} tcp dport ${port} accept`,
            `nft insert rule inet mine by-last-rule ip6 saddr ${six} tcp dport ${port} accept`,
            `iptables -I INPUT -s ${four} -p tcp --dport ${port} -j ACCEPT`,
            `ip6tables -I INPUT -s ${six} -p tcp --dport ${port} -j ACCEPT`,
          ];
          const said = (port: number, command: string) =>
            `refuses what no rule of it accepts, and is left alone; unless one accepts port ${port} already: '${command}', and the same in the file that it is loaded from`;
          const { stdout } = await (await ports("nft", [{ port: 8080, sources: [four, six] }])).up();
          for (const command of commands(8080)) expect(stdout).toContain(said(8080, command));
          expect(await ruleset()).toBe(before);
          expect(await visitor.reaches(8080)).toEqual(nobody);
          // One chain's alone open nothing.
          await gate.run(commands(8080).slice(0, 2).join(" && "));
          expect(await visitor.reaches(8080)).toEqual(nobody);
          await gate.run(commands(8080).slice(2).join(" && "));
          expect(await visitor.reaches(8080)).toEqual({ ...nobody, "in, IPv4": "gate", "in, IPv6": "gate" });
          const theirs = await ruleset();
          const stack = await ports("nft", [
            { port: 8080, sources: [four, six] },
            { port: 8081, sources: [four, six] },
          ]);
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

/** A ruleset as somebody wrote it: how often a rule was met is no part of it. */
const withoutCounters = (ruleset: string) =>
  ruleset.replaceAll(/packets \d+ bytes \d+/g, "packets 0 bytes 0");
