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

  const walls = {
    firewalld: {
      begin:
        "systemctl enable --quiet --now firewalld && until firewall-cmd --quiet --state; do sleep 0.1; done",
      end: "systemctl disable --quiet --now firewalld",
      reload: "firewall-cmd --quiet --reload",
      rules: "firewall-cmd --list-all; firewall-cmd --permanent --list-all",
      admit: (network: string, noMore = false) => `for state in '' --permanent; do
        firewall-cmd --quiet $state --${noMore ? "remove" : "add"}-rich-rule='rule family=ipv4 source address=${network} port port=8080 protocol=tcp accept'
      done`,
    },
    ufw: {
      begin: "ufw allow 22/tcp >/dev/null && ufw --force enable >/dev/null && systemctl enable --quiet ufw",
      end: "ufw --force disable >/dev/null && systemctl disable --quiet ufw",
      reload: "ufw reload >/dev/null",
      rules: "ufw show added",
      admit: (network: string, noMore = false) =>
        `ufw ${noMore ? "delete " : ""}allow from ${network} to any port 8080 proto tcp >/dev/null`,
    },
  };

  describe.each(Object.entries(walls))(
    "by way of a tunnel, with %s, from some networks",
    (wall, { begin, end, reload, rules, admit }) => {
      let stack: LabStack;
      let before: { files: Snapshot; rules: string };
      const settings = (sources: string[]) =>
        tunnelSettings(lab, gate, nas, {
          forwards: {
            ssh: { remotePort: 2222, target: 22 },
            web: { remotePort: 8080, target: 80, listen: "all", sources },
          },
        });
      const rulesNow = async () => (await gate.run(rules)).stdout;

      beforeAll(async () => {
        await gate.run(begin);
        before = { files: await gate.snapshot(), rules: await rulesNow() };
        stack = await openProgram(lab, { stack: wall, config: settings(visitor.networks("in")) });
      });

      afterAll(() => gate.run(end));

      const open = { "in, IPv4": "nas", "in, IPv6": "nas", "out, IPv4": "", "out, IPv6": "" };
      const becomes = (expected: object) =>
        expect.poll(() => visitor.reaches(8080), { timeout: 60_000 }).toEqual(expected);

      it("is reached from these, IPv4 and IPv6, and from nowhere else", async () => {
        await stack.up();
        expect(await visitor.reaches(8080)).toEqual(open);
      });

      it("is so after the firewall's reload, and after a reboot", async () => {
        await gate.run(reload);
        await becomes(open);
        await gate.reboot();
        await becomes(open);
      });

      it("is reached from others, and no longer from these, where the settings name others", async () => {
        const [four = "", six = ""] = visitor.networks("out");
        await stack.setConfig(settings([four]));
        await stack.up();
        expect(await visitor.reaches(8080)).toEqual({
          "in, IPv4": "",
          "in, IPv6": "",
          "out, IPv4": "nas",
          "out, IPv6": "",
        });
        await stack.setConfig(settings([four, six]));
        await stack.up();
        await gate.run(reload);
        await becomes({ "in, IPv4": "", "in, IPv6": "", "out, IPv4": "nas", "out, IPv6": "nas" });
      });

      it("is as it was after destroy: the rules, their files", async () => {
        await stack.destroy();
        expect(await rulesNow()).toBe(before.rules);
        const changes = await leftovers(gate, before.files);
        // ufw's own reload writes that it is enabled.
        expect(changes.filter((line) => line !== "changed /etc/ufw/ufw.conf (mtime)")).toEqual([]);
      });

      it("keeps a rule of the administrator's that is the same, and what two stacks need until the last is gone", async () => {
        const [four, six] = visitor.networks("in");
        const other = visitor.networks("out")[0];
        await gate.run(admit(four));
        const withTheirs = await rulesNow();
        expect(withTheirs).not.toBe(before.rules);
        const [first, second] = [
          await ports("first", [{ port: 8080, sources: [four, six, other] }]),
          await ports("second", [{ port: 8080, sources: [six] }]),
        ];
        await first.up();
        await second.up();
        await first.destroy();
        expect(await rulesNow()).toContain(six);
        expect(await rulesNow()).not.toContain(other);
        await second.destroy();
        expect(await rulesNow()).toBe(withTheirs);
        await gate.run(admit(four, true));
      });

      it("is refused where everyone may reach it by a rule of the administrator's", async () => {
        await gate.run(
          wall === "ufw" ? "ufw allow 8080/tcp" : "firewall-cmd --quiet --add-port 8000-8100/tcp",
        );
        const theirs = await rulesNow();
        const stranger = await ports("stranger", [{ port: 8080, sources: visitor.networks("in") }]);
        expect(await failedUp(stranger)).toContain(
          `everyone may reach port 8080 by a rule of ${wall} that is not ours, so that 'sources' would keep nobody out; remove that rule, or leave 'sources' out`,
        );
        expect(await rulesNow()).toBe(theirs);
        await gate.run(
          wall === "ufw" ? "ufw delete allow 8080/tcp" : "firewall-cmd --quiet --remove-port 8000-8100/tcp",
        );
      });
    },
  );

  /** FirewallPorts by itself. */
  const ports = (stack: string, openPorts: OpenPort[]) =>
    openStack({
      project: "firewall",
      stack,
      program: () =>
        Promise.resolve(void new FirewallPorts("web", { host: labHost(lab, gate), ports: openPorts })),
      directory: `${lab.directory}/stacks/${stack}`,
    });

  describe("on the host itself", () => {
    const everyone = { "in, IPv4": "gate", "in, IPv6": "gate", "out, IPv4": "gate", "out, IPv6": "gate" };
    const nobody = { "in, IPv4": "", "in, IPv6": "", "out, IPv4": "", "out, IPv6": "" };

    beforeAll(() => gate.run("systemd-run --quiet --unit web busybox httpd -f -p 8080 -h /srv/www"));

    describe("in firewalld's zones", () => {
      const zone = async (name: string, option: string) =>
        (
          await gate.run(`for state in '' --permanent; do firewall-cmd $state --zone ${name} ${option}; done`)
        ).stdout.split("\n");

      beforeAll(() => gate.run(walls.firewalld.begin));
      afterAll(() => gate.run(walls.firewalld.end));

      it("is opened where it arrives: in the zone of the interface, which is not the default one", async () => {
        await gate.run(
          "firewall-cmd --quiet --permanent --zone internal --change-interface eth0 && firewall-cmd --quiet --reload",
        );
        expect(await visitor.reaches(8080)).toEqual(nobody);
        const stack = await ports("zone", [{ port: 8080 }]);
        await stack.up();
        expect(await visitor.reaches(8080)).toEqual(everyone);
        await gate.run("firewall-cmd --quiet --reload");
        expect(await visitor.reaches(8080)).toEqual(everyone);
        expect(await zone("public", "--list-ports")).toEqual(["8080/tcp", "8080/tcp"]); // for interfaces that come later
        await stack.destroy();
        expect(await visitor.reaches(8080)).toEqual(nobody);
      });

      it("is opened at one address in that address's zone alone", async () => {
        const stack = await ports("address", [{ port: 8080, address: gate.address }]);
        await stack.up();
        expect(await visitor.reaches(8080)).toEqual({ ...nobody, "in, IPv4": "gate", "out, IPv4": "gate" });
        expect(await zone("public", "--list-rich-rules")).toEqual(["", ""]);
        await stack.destroy();
        expect(await visitor.reaches(8080)).toEqual(nobody);
      });

      it("is opened in a zone that takes networks, but for one that refuses them", async () => {
        const [inside = "", outside = ""] = [visitor.networks("in")[0], visitor.networks("out")[1]];
        await gate.run(
          `firewall-cmd --quiet --zone work --add-source ${inside}; firewall-cmd --quiet --zone drop --add-source ${outside}`,
        );
        const stack = await ports("networks", [{ port: 8080 }]);
        await stack.up();
        expect(await visitor.reaches(8080)).toEqual({ ...everyone, "out, IPv6": "" });
        await stack.destroy();
        expect(await visitor.reaches(8080)).toEqual(nobody);
        await gate.run("firewall-cmd --quiet --reload");
      });

      it("that is open in one state only is opened in both, and then open in that one again", async () => {
        await gate.run("firewall-cmd --quiet --permanent --zone internal --add-port 8080/tcp");
        await gate.run("firewall-cmd --quiet --zone internal --add-port 8081/tcp");
        const stack = await ports("one-state", [{ port: 8080 }, { port: 8081 }]);
        await stack.up();
        expect(await zone("internal", "--list-ports")).toEqual(["8080/tcp 8081/tcp", "8080/tcp 8081/tcp"]);
        await stack.destroy();
        expect(await zone("internal", "--list-ports")).toEqual(["8081/tcp", "8080/tcp"]);
      });
    });

    describe("where neither firewalld nor ufw is active", () => {
      const ruleset = async () => (await gate.run("nft list ruleset")).stdout;

      it("is refused to have sources, which nothing would see to", async () => {
        const stack = await ports("unguarded", [{ port: 8080, sources: visitor.networks("in") }]);
        expect(await failedUp(stack)).toContain(
          "neither firewalld nor ufw is active here, so that nothing would keep others than 'sources' from port 8080; start one, or leave 'sources' out",
        );
      });

      it.each([
        [
          "by its policy",
          "nft -f - <<'END'\ntable inet mine {\nchain in {\ntype filter hook input priority 0; policy drop;\nct state established accept\ntcp dport { 22, 80 } accept\nmeta l4proto ipv6-icmp accept\n}\n}\nEND",
          [
            "nft insert rule inet mine in ip saddr IN4 tcp dport 8080 accept",
            "nft insert rule inet mine in ip6 saddr IN6 tcp dport 8080 accept",
          ],
        ],
        [
          "by its last rule",
          "nft -f - <<'END'\ntable inet mine {\nchain in {\ntype filter hook input priority 0; policy accept;\nct state established accept\ntcp dport 22 accept\nmeta l4proto ipv6-icmp accept\ncounter log prefix \"no: \" reject with icmpx admin-prohibited\n}\n}\nEND",
          [
            "nft insert rule inet mine in ip saddr IN4 tcp dport 8080 accept",
            "nft insert rule inet mine in ip6 saddr IN6 tcp dport 8080 accept",
          ],
        ],
        [
          "by iptables",
          "for each in iptables ip6tables; do $each -A INPUT -m state --state ESTABLISHED -j ACCEPT; $each -A INPUT -p tcp --dport 22 -j ACCEPT; done; ip6tables -A INPUT -p ipv6-icmp -j ACCEPT; iptables -A INPUT -j REJECT; ip6tables -P INPUT DROP",
          [
            "iptables -I INPUT -s IN4 -p tcp --dport 8080 -j ACCEPT",
            "ip6tables -I INPUT -s IN6 -p tcp --dport 8080 -j ACCEPT",
          ],
        ],
      ])(
        "and nftables refuses %s, is left alone, with the very commands that would open it",
        async (how, make, commands) => {
          await gate.run(make);
          try {
            const before = await ruleset();
            const [four = "", six = ""] = visitor.networks("in");
            const said = commands.map((command) => command.replace("IN4", four).replace("IN6", six));
            const stack = await ports("nftables", [{ port: 8080, sources: [four, six] }]);
            const { stdout } = await stack.up();
            for (const command of said) {
              expect(stdout).toContain(
                `refuses what no rule of it accepts, and is left alone; unless one accepts port 8080 already: '${command}', and the same in the file that it is loaded from`,
              );
            }
            expect(withoutCounters(await ruleset())).toBe(withoutCounters(before));
            expect(await visitor.reaches(8080)).toEqual(nobody);
            await gate.run(said.join(" && "));
            expect(await visitor.reaches(8080)).toEqual({
              ...nobody,
              "in, IPv4": "gate",
              "in, IPv6": "gate",
            });
            const theirs = await ruleset();
            await stack.destroy();
            expect(withoutCounters(await ruleset())).toBe(withoutCounters(theirs));
            if (how === "by its policy") {
              expect((await stack.up()).stdout, "once it is there").not.toContain(said[0]);
              await stack.destroy();
            }
          } finally {
            await gate.run("nft flush ruleset");
          }
        },
      );
    });
  });
});

/** A ruleset as somebody wrote it: how often a rule was met is no part of it. */
const withoutCounters = (ruleset: string) =>
  ruleset.replaceAll(/packets \d+ bytes \d+/g, "packets 0 bytes 0");
