import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import ssh2, { type Channel, type Connection, type Session } from "ssh2";
import { newSshKey } from "../support/sshKey.ts";

/** An SSH server on loopback that needs no root: it runs commands as whoever runs the test. */
export interface SshServer {
  port: number;
  /** The line for a connection's hostKey. */
  hostKey: string;
  /** The private key that may log in. */
  privateKey: string;
  /** How many logins there have been, and how many were refused. */
  logins: { accepted: number; refused: number };
  /** How many connections were open at the same time, at most. */
  most: () => number;
  /** The ports that were forwarded to. */
  forwarded: number[];
  close: () => Promise<void>;
}

/** Leads a channel to a port of this machine, as a host on the way to another does. */
export function joinWithPort(channel: Channel, port: number): void {
  const target = connect(port, "127.0.0.1");
  target.on("error", () => channel.close());
  channel.on("error", () => target.destroy());
  channel.pipe(target).pipe(channel);
}

/** Starts a server of its own on a free port. */
export async function startSshServer(): Promise<SshServer> {
  const [host, login] = [newSshKey(), newSshKey()];
  const allowed = ssh2.utils.parseKey(login.publicLine);
  if (allowed instanceof Error) throw allowed;
  const open = new Set<Connection>();
  let most = 0;
  const logins = { accepted: 0, refused: 0 };
  const forwarded: number[] = [];
  const server = new ssh2.Server({ hostKeys: [host.privateKey] }, (client) => {
    open.add(client);
    most = Math.max(most, open.size);
    client.on("close", () => open.delete(client));
    client.on("error", () => undefined);
    client.on("authentication", (context) => {
      if (context.method === "publickey" && context.key.data.equals(allowed.getPublicSSH())) {
        const { signature, blob = Buffer.alloc(0), hashAlgo } = context;
        if (signature === undefined || allowed.verify(blob, signature, hashAlgo) === true)
          return context.accept();
      }
      if (context.method === "publickey") logins.refused += 1;
      context.reject(["publickey"]);
    });
    client.on("ready", () => {
      logins.accepted += 1;
      client.on("session", (accept) => serveSession(accept()));
      client.on("tcpip", (accept, _reject, { destPort }) => {
        forwarded.push(destPort);
        joinWithPort(accept(), destPort);
      });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    hostKey: host.publicLine,
    privateKey: login.privateKey,
    logins,
    most: () => most,
    forwarded,
    close: async () => {
      for (const client of open) client.end();
      server.close();
      await once(server, "close");
    },
  };
}

function serveSession(session: Session): void {
  session.on("env", (accept) => (accept as (() => void) | undefined)?.());
  session.on("exec", (accept, _reject, { command }) => {
    const channel = accept();
    const child = spawn("sh", ["-c", command]);
    channel.pipe(child.stdin).on("error", () => undefined);
    child.stdout.pipe(channel, { end: false });
    child.stderr.pipe(channel.stderr, { end: false });
    child.on("close", (code, signal) => {
      if (signal) channel.exit(signal.replace(/^SIG/, ""), false, "");
      else channel.exit(code ?? 0);
      channel.end();
    });
  });
}
