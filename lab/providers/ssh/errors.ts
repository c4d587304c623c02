// The official provider is a Go program. These are the error messages of its libraries, so that users and tests see the
// same text with the stand-in.
import { getServers } from "node:dns";

const CONNECT: Record<string, string> = {
  EACCES: "connect: permission denied",
  ECONNREFUSED: "connect: connection refused",
  EHOSTUNREACH: "connect: no route to host",
  ENOENT: "connect: no such file or directory",
  ENETUNREACH: "connect: network is unreachable",
  ETIMEDOUT: "connect: connection timed out",
};

/** The signals that an SSH server may name; the status is 128 plus their number, and 128 alone for any other. */
const SIGNALS: Record<string, number> = {
  ABRT: 6,
  ALRM: 14,
  FPE: 8,
  HUP: 1,
  ILL: 4,
  INT: 2,
  KILL: 9,
  PIPE: 13,
  QUIT: 3,
  SEGV: 11,
  TERM: 15,
};

const REJECTIONS: Record<number, string> = {
  1: "administratively prohibited",
  2: "connect failed",
  3: "unknown channel type",
  4: "resource shortage",
};

interface NetworkError extends Error {
  code?: string;
  address?: string;
  port?: number;
  errors?: NetworkError[];
}

/** A TCP connection that failed. */
export function dialError(host: string, port: number, error: Error): Error {
  // Node tries every address of a name, and collects the error of each.
  const outer: NetworkError = error;
  const { code = "", address = host, port: tried = port, message } = outer.errors?.[0] ?? outer;
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
    const [server] = getServers();
    const asked = server === undefined ? "" : ` on ${hostPort(server, 53)}`;
    return new Error(`dial tcp: lookup ${host}${asked}: no such host`);
  }
  return new Error(`dial tcp ${hostPort(address, tried)}: ${CONNECT[code] ?? message}`);
}

/** An agent that does not answer. */
export function agentError(path: string, error: NetworkError): Error {
  return new Error(`dial unix ${path}: ${CONNECT[error.code ?? ""] ?? error.message}`);
}

/** A TCP connection that took longer than the limit. */
export function dialTimeout(host: string, port: number): Error {
  return new Error(`dial tcp ${hostPort(host, port)}: i/o timeout`);
}

/** An SSH connection that failed on an open TCP connection. */
export function handshakeError(reason: string): Error {
  return new Error(`ssh: handshake failed: ${reason}`);
}

/** The final error of a login. */
export function loginError(attempted: readonly string[]): Error {
  const methods = attempted.join(" ");
  return handshakeError(
    `ssh: unable to authenticate, attempted methods [${methods}], no supported methods remain`,
  );
}

/** A channel that the server refused to open. */
export function rejectionError(error: Error & { reason?: number }): Error {
  const text = error.message.replace(/^\(SSH\) Channel open failure: /, "");
  if (error.reason === undefined) return new Error("EOF");
  return new Error(
    `ssh: rejected: ${REJECTIONS[error.reason] ?? `unknown reason ${error.reason}`} (${text})`,
  );
}

/** A command that ended with an error or because of a signal. */
export function exitProblem(code: number | null, signal = "", reason = ""): string {
  if (code !== null) return `Process exited with status ${code}`;
  const name = signal.replace(/^SIG/, "");
  const because = reason === "" ? "" : `. Reason was: ${reason}`;
  return `Process exited with status ${128 + (SIGNALS[name] ?? 0)} from signal ${name}${because}`;
}

/** An IPv6 address has brackets before its port. */
export function hostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

const ESCAPES: Record<string, string> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
  '"': '\\"',
};

/** Text in double quotes, as Go's `%q` writes it. */
export function quote(text: string): string {
  const escaped = text.replace(/[\\"\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, (character) => {
    const known = ESCAPES[character];
    if (known !== undefined) return known;
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x80) return `\\x${hex(code, 2)}`;
    return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
  });
  return `"${escaped}"`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}
