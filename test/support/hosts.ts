import type { Host } from "../../components/index.ts";
import { InternalHost, PublicHost } from "../../components/index.ts";
import { hostKeysOf } from "../../tools/mocks.ts";

/** A host key that is valid in settings. */
export const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGdhdGU=";

/** A public host whose admin is root. */
export const gate: Host = { name: "gate", connection: { host: "198.18.0.2", user: "root", hostKey } };

/** An internal host whose admin is not root. */
export const nas: Host = { name: "nas", connection: { host: "198.18.0.3", user: "admin", hostKey } };

/** The mocks' host keys of the two. */
export const gateKeys = hostKeysOf("gate (198.18.0.2)");
export const nasKeys = hostKeysOf("nas (198.18.0.3)");

/** Both ends in the form that a tunnel needs. */
export function bothEnds(throughTunnel?: string): { publicHost: PublicHost; internalHost: InternalHost } {
  return {
    publicHost: new PublicHost("gate", { connection: gate.connection }),
    internalHost: new InternalHost("nas", { connection: nas.connection, throughTunnel }),
  };
}
