import { inputError } from "../settings/inputError.ts";

/** The valid names, since accounts, units and files are named after them. */
export const namePatterns = {
  host: /^[a-z][a-z0-9-]{0,62}$/,
  tunnel: /^[a-z][a-z0-9-]{0,23}$/,
  forward: /^[a-z][a-z0-9-]{0,30}$/,
  /** Also those of directories such as LDAP. A number alone could be a user ID. */
  account: /^(?!\d+$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/,
  /** Root's, such as /var/lib/prometheus: absolute, and without `..`. */
  folder: /^(\/(?!\.{1,2}(\/|$))[A-Za-z0-9_.@+:-]+)+$/,
  alias: /^[a-z0-9][a-z0-9._-]{0,62}$/,
};

/** What an account's name must be, for an error. */
const accountWords =
  "the name of an account: letters, digits, '_', '.' and '-', at most 32 characters, and not only digits";

/** The same, for this name: sshd and systemd would read a domain in it as something else. */
export function accountWordsFor(name: unknown): string {
  return typeof name === "string" && /[\\@]/.test(name)
    ? `${accountWords}; 'DOMAIN\\user' and 'user@domain' are not supported, so have the host's directory service leave out the domain (use_fully_qualified_names of SSSD, 'winbind use default domain'), or choose a local account`
    : accountWords;
}

/** The text, for a file of lines. Throws if it would end its line and begin a new one. */
export function oneLine(text: string): string {
  if (/\p{Cc}/u.test(text)) {
    throw inputError(`${JSON.stringify(text)} must be one line, without control characters`);
  }
  return text;
}

/** The text, for one word of a line. Throws if it would be read as several words or as a comment. */
export function oneWord(text: string): string {
  if (!/^[^\p{Cc}\s#"'\\=]+$/u.test(text)) {
    throw inputError(
      `${JSON.stringify(text)} must be one word, without spaces, quotes, '#', '=', '\\' and control characters`,
    );
  }
  return text;
}

/** The other kinds of values that go into a file on a host, or name one. */
const kinds = {
  host: [
    namePatterns.host,
    "the name of a host: a-z, 0-9 and '-', beginning with a letter, at most 63 characters",
  ],
  tunnel: [
    namePatterns.tunnel,
    "the name of a tunnel: a-z, 0-9 and '-', beginning with a letter, at most 24 characters",
  ],
  account: [namePatterns.account, accountWords],
  /** Literal wherever ssh, sshd and systemd read it: not a pattern, a `%` token or a list. */
  plain: [
    /^[A-Za-z0-9_.:][A-Za-z0-9_.:-]*$/,
    "one plain word: letters, digits, '.', ':', '_' and '-', which does not begin with '-'",
  ],
  /** A word of a command line in a unit, literal for systemd.syntax(7) and systemd.service(5). */
  unitWord: [
    /^[A-Za-z0-9_.,:@/*[\]-]+$/,
    "one word of letters, digits and '_.,:@/*[]-', which systemd takes as it stands",
  ],
  unit: [/^[A-Za-z0-9_][A-Za-z0-9_.@-]*\.(service|timer)$/, "the name of a service or timer"],
  /** Below a folder of ours, with room for a temporary file that has a longer name. */
  file: [
    /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$/,
    "the name of a file: letters, digits, '.', '_' and '-', at most 200 characters",
  ],
  clientConfig: [
    /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,194}\.conf$/,
    "the name of a file that ends in '.conf': letters, digits, '.', '_' and '-', at most 200 characters",
  ],
  folder: [
    namePatterns.folder,
    "the absolute path of a folder: letters, digits and '_.@+:-' between the slashes, none at the end",
  ],
  path: [/^\/[^\p{Cc}]*$/u, "an absolute path without control characters"],
  number: [/^[0-9]{1,9}$/, "a whole number"],
  seconds: [/^[0-9]{1,9}(\.[0-9]{1,3})?$/, "a number of seconds, with at most three decimal places"],
  /** `type base64`, as in known_hosts and after the options in authorized_keys. */
  publicKey: [/^[a-z][a-z0-9@.-]* [A-Za-z0-9+/]+={0,3}$/, "a public key, 'ssh-ed25519 AAAA…'"],
} satisfies Record<string, [RegExp, string]>;

/** The text, if it is of that kind; throws an error otherwise. */
export function assertValid<T extends string | number>(kind: keyof typeof kinds, text: T): T {
  const [pattern, what] = kinds[kind];
  if (!pattern.test(String(text))) {
    throw inputError(`${JSON.stringify(text)} must be ${what}`);
  }
  return text;
}
