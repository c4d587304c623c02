import type { Host } from "../../../lab/host.ts";

/** What Debian's policy refuses to Debian's own udev and systemd-tmpfiles at each boot. */
const AT_BOOT = /scontext=system_u:system_r:(udev|systemd_tmpfiles)_t:/;

/** That \`ip\` changes its domain: refused where a service may gain no privileges, and then it runs in ours. */
const OF_IP = /{ nnp_transition } .* comm="network" scontext=\S+:initrc_t:\S+ tcontext=\S+:ifconfig_t:/;

/** What else SELinux has refused since a moment of the host's clock, a line each, as the audit log has it. */
export async function denialsSince(host: Host, since: number): Promise<string[]> {
  // Before auditd has started, the kernel's log has them.
  const { stdout } = await host.run(
    `ausearch --input-logs --raw -m avc,user_avc,selinux_err 2>/dev/null; journalctl -q -k -o cat | grep -E '(avc: +denied|SELINUX_ERR)' || :`,
  );
  const lines = stdout.split("\n").filter((line) => {
    const time = /audit\((\d+\.\d+):/.exec(line)?.[1];
    return (
      time !== undefined &&
      Number(time) >= since &&
      /avc: |SELINUX_ERR/.test(line) &&
      !AT_BOOT.test(line) &&
      !OF_IP.test(line)
    );
  });
  return [...new Set(lines)];
}

/** Now, by the host's clock. */
export async function timeOf(host: Host): Promise<number> {
  return Number((await host.run("date +%s.%3N")).stdout);
}
