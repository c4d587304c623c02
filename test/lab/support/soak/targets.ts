import { until } from "../../../../lab/exec.ts";
import type { Host } from "../../../../lab/host.ts";
import type { Lab } from "../../../../lab/lab.ts";
import { type Part, tunnelSettings } from "../settings.ts";
import { BANNER } from "./connection.ts";
import type { UsedForward } from "./traffic.ts";

/** The forwards of each internal host, and the ports of their targets there. */
export const TARGETS = {
  ssh: { port: 7022, banner: true },
  web: { port: 7080, banner: false },
} as const;

export type TargetName = keyof typeof TARGETS;

export const targetNames = Object.keys(TARGETS) as TargetName[];

export const targetUnit = (name: string): string => `soak-${name}.service`;

/** Answers requests as connection.ts sends them. */
const PROGRAM = `import asyncio, hashlib, struct, sys
port, banner = int(sys.argv[1]), sys.argv[2:]
async def serve(reader, writer):
    try:
        if banner:
            writer.write(b${JSON.stringify(BANNER)})
        while True:
            head = await reader.readexactly(8)
            request = head + await reader.readexactly(struct.unpack(">II", head)[1])
            writer.write(hashlib.sha256(request).digest() + request)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()
asyncio.run(main())
`;

/** Starts the targets of an internal host, until its next boot. */
export async function installTargets(host: Host): Promise<void> {
  await host.run("cat >/usr/local/lib/soak-target.py", { input: PROGRAM });
  for (const name of targetNames) {
    const { port, banner } = TARGETS[name];
    const start = `/usr/bin/python3 /usr/local/lib/soak-target.py ${port}${banner ? " banner" : ""}`;
    await host.run(
      `cat >/etc/systemd/system/${targetUnit(name)} && systemctl enable --quiet --now ${targetUnit(name)}`,
      {
        input: `[Service]\nExecStart=${start}\n[Install]\nWantedBy=multi-user.target\n`,
      },
    );
  }
  const ports = targetNames.map((name) => `sport = :${TARGETS[name].port}`).join(" or ");
  await until(`the targets of ${host.name}`, 20, async () => {
    const { stdout } = await host.run(`ss -Hltn '( ${ports} )'`);
    return stdout.split("\n").length === targetNames.length;
  });
}

/** Everything that the traffic uses: every forward of every internal host. */
export function usedForwards(hosts: Host[]): UsedForward[] {
  return hosts.flatMap(({ name }, index) =>
    targetNames.map((forward) => ({
      tunnel: name,
      forward,
      port: TARGETS[forward].port + 100 * index,
      banner: TARGETS[forward].banner,
    })),
  );
}

/** Settings for a tunnel from each internal host, which this machine can reach. */
export function soakSettings(lab: Lab, gate: Host, hosts: Host[]): Part {
  const internalHosts = hosts.map((host) => {
    const forwards = usedForwards(hosts)
      .filter(({ tunnel }) => tunnel === host.name)
      .map(({ forward, port, banner }) => {
        const target = TARGETS[forward as TargetName].port;
        return [forward, { remotePort: port, target, listen: "all", protocol: banner ? "ssh" : "tcp" }];
      });
    const changes = { forwards: Object.fromEntries(forwards) as Part, nas: { logins: undefined } };
    return tunnelSettings(lab, gate, host, changes).internalHosts;
  });
  return { ...tunnelSettings(lab, gate, gate), internalHosts: Object.assign({}, ...internalHosts) as Part };
}
