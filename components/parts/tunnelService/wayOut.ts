import * as pulumi from "@pulumi/pulumi";
import type { Values } from "../../remote/remoteScript.ts";
import { Program } from "../../remote/scriptText.ts";
import { assertValid } from "../../render/checks.ts";
import { renderHostEntry, renderKnownHosts } from "../../render/hostEntry.ts";
import { renderProxyFile } from "../../render/proxyFile.ts";
import { hostPort } from "../../settings/forward.ts";
import type { Proxy } from "../../settings/proxy.ts";
import type { ClientSide } from "../clientConfig/clientOptions.ts";
import { clientOptionsOf } from "../clientConfig/clientOptions.ts";

/** A proxy or a jump host between the internal host and the public host; with both, the proxy leads to the jump host. */
export interface Via {
  /** @default none */
  proxy?: (Omit<Proxy, "password"> & { password?: pulumi.Input<string> | undefined }) | undefined;
  /** @default none */
  jump?:
    | {
        /** How it logs in there, with the key of the tunnel. */
        login: ClientSide;
        /** The public half of that key, for the jump host's authorized_keys. */
        publicKey: pulumi.Input<string>;
      }
    | undefined;
}

/**
 * How the internal host reaches the public host: its Host entry and pinned host keys, with those of a jump host, and
 * what else that needs there.
 *
 * @param programs the folder of the tunnel's programs
 */
export function wayOut(login: ClientSide, { proxy, jump }: Via, programs: string): Values {
  const through = (side: ClientSide, command: string | undefined): ClientSide =>
    command === undefined
      ? side
      : {
          ...side,
          options: { ...side.options, ProxyCommand: `${programs}/proxy ${command}`, ProxyUseFdpass: "no" },
        };
  const byProxy = proxy && `${assertValid("file", proxy.kind)} ${assertValid("file", login.file)}`;
  const byJump = jump && `jump '[%h]:%p' ${assertValid("plain", nameOf(jump.login))}`;
  const logins = jump ? [through(login, byJump), through(jump.login, byProxy)] : [through(login, byProxy)];
  return {
    ENTRY: joined(logins, (side) =>
      clientOptionsOf(side).apply((options) => renderHostEntry(side.aliases, options)),
    ),
    KEYS: joined(logins, (side) =>
      pulumi.output(side.hostKeys).apply((keys) => renderKnownHosts(nameOf(side), keys)),
    ),
    ...(proxy || jump ? { PROXY_PROGRAM: new Program("proxy") } : {}),
    ...(proxy ? { PROXY: proxyFile(proxy, jump?.login ?? login) } : {}),
    ...(jump ? { ADVICE: adviceFor(jump, login) } : {}),
  };
}

const nameOf = (side: ClientSide) => side.aliases[0] ?? side.file;

const joined = (sides: ClientSide[], render: (side: ClientSide) => pulumi.Output<string>) =>
  pulumi.all(sides.map(render)).apply((all) => all.join("\n"));

function proxyFile({ password, ...proxy }: NonNullable<Via["proxy"]>, { address, port }: ClientSide) {
  const secret = password === undefined ? undefined : pulumi.secret(password);
  return pulumi
    .all([address, port, secret])
    .apply(([host, number, known]) =>
      renderProxyFile({ ...proxy, password: known }, { address: host, port: number }),
    );
}

function adviceFor({ login: jump, publicKey }: NonNullable<Via["jump"]>, login: ClientSide) {
  return pulumi
    .all([login.address, login.port, publicKey, jump.account, jump.address])
    .apply(
      ([host, number, key, account, at]) =>
        `if it is the jump host that refuses, add this line to the authorized_keys of '${account}' on ${at}: restrict,port-forwarding,permitopen="${hostPort(host, number)}" ${assertValid("publicKey", key.trim().split(" ", 2).join(" "))} ssh-tunnel-${login.file}`,
    );
}
