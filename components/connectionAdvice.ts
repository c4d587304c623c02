import * as pulumi from "@pulumi/pulumi";
import type { Host } from "./host.ts";

/**
 * A hook that explains what the provider says when it cannot log in: its errors are Go's, and name neither the host nor
 * what to do.
 *
 * Needs Pulumi 3.244 or later, whose engine hands every error of a provider to error hooks.
 */
export function connectionAdvice(name: string, host: Host): pulumi.ErrorHook {
  return new pulumi.ErrorHook(`${name}-advice`, async ({ errors }) => {
    const { connection } = host;
    const [address, port, user] = await Promise.all(
      [connection.host, connection.port ?? 22, connection.user ?? "root"].map(valueOf),
    );
    const advice = adviceFor(errors[0] ?? "", `${host.name} (${address})`, Number(port), String(user));
    // The engine ends the program as soon as the hook returns.
    if (advice) await pulumi.log.error(advice);
    return false; // the provider has tried again already
  });
}

/** The value of an input, which is known by the time that a command fails. */
function valueOf<T>(input: pulumi.Input<T>): Promise<T> {
  return new Promise((resolve) => pulumi.output(input).apply((value) => resolve(value as T)));
}

/** The sentence for an error of the provider's connection; undefined for any other error, which has its own sentence. */
export function adviceFor(error: string, host: string, port: number, user: string): string | undefined {
  if (/host key mismatch/.test(error)) {
    return `${host} answers with another host key than the settings or known_hosts say; if the host was not reinstalled, somebody may be in between: compare with 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' on its console, then correct hostKey`;
  }
  if (/unable to authenticate/.test(error)) {
    return `${host} refuses the login of '${user}'; check the key or password of admin, and that '${user}' may log in there: 'ssh -p ${port} ${user}@${host.replace(/^.*\((.*)\)$/, "$1")}'`;
  }
  if (
    /dial tcp|i\/o timeout|connection refused|no route to host|connection reset|handshake failed: EOF/.test(
      error,
    )
  ) {
    return `${host} cannot be reached on port ${port}; check that it is on, that the address and port are right, and that no firewall is in the way`;
  }
  return undefined;
}
