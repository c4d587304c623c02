import * as pulumi from "@pulumi/pulumi";
import { hostKey } from "./hosts.ts";
import { parseConfig } from "../../components/settings/load.ts";
import { project } from "../../tools/mocks.ts";

/** Settings of one public and one internal host, without anything that has a default. */
export function smallest() {
  return {
    publicHosts: { gate: { address: "198.18.0.2", admin: { hostKey } } },
    internalHosts: {
      nas: {
        address: "198.18.0.3",
        admin: { hostKey },
        forwards: { ssh: { remotePort: 2222, target: 22 } },
      },
    },
  };
}

/** Two forwards that only the public host itself can reach, and a login back. */
export function usual() {
  const settings = smallest();
  return {
    ...settings,
    internalHosts: {
      nas: {
        ...settings.internalHosts.nas,
        forwards: {
          ssh: { remotePort: 2222, target: 22 },
          web: { remotePort: "auto", target: "127.0.0.1:8080" },
        },
        logins: [{ from: "root", to: "root" }],
      },
    },
  };
}

/** Settings of a stack, with two tunnels through which the internal host can be reached. */
export function twoWays(): Record<string, unknown> {
  const { publicHosts, internalHosts } = smallest();
  return {
    [`${project}:publicHosts`]: { ...publicHosts, other: { ...publicHosts.gate, address: "198.18.0.4" } },
    [`${project}:internalHosts`]: {
      nas: { ...internalHosts.nas, publicHosts: ["gate", "other"], admin: { hostKey, throughTunnel: "ssh" } },
    },
  };
}

/** Sets the stack's configuration as the engine passes it to a program: structured values as JSON. */
export function setConfig(settings: Record<string, unknown>, secretKeys: string[] = []): void {
  const entries = Object.entries(settings).map(([key, value]) => [
    `${project}:${key}`,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  pulumi.runtime.setAllConfig(
    Object.fromEntries(entries) as Record<string, string>,
    secretKeys.map((key) => `${project}:${key}`),
  );
}

/** The mistakes that are found in settings, one per line. */
export function mistakesIn(raw: Record<string, unknown>): string[] {
  try {
    parseConfig(raw);
    return [];
  } catch (error) {
    const lines = (error as Error).message.split("\n");
    return lines.filter((line) => line.startsWith("  ")).map((line) => line.trim());
  }
}
