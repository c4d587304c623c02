import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import type { ClientSide } from "../../components/parts/clientConfig/clientOptions.ts";
import { clientOptionsOf } from "../../components/parts/clientConfig/clientOptions.ts";
import { nasKeys } from "../support/hosts.ts";
import { record } from "../../tools/mocks.ts";
import { promiseOf } from "../support/promiseOf.ts";

const client = (changes: Partial<ClientSide> = {}): ClientSide => ({
  file: "my-nas",
  keyFile: "my-nas.0123abcd.key",
  aliases: ["my-nas", "storage"],
  address: pulumi.output("127.0.0.1"),
  port: pulumi.output(2222),
  account: "bob",
  hostKeys: nasKeys,
  options: { ServerAliveInterval: 15 },
  ...changes,
});

const optionsOf = async (changes?: Partial<ClientSide>) =>
  (await record(() => promiseOf(clientOptionsOf(client(changes))))).result;

describe("the options of a login", () => {
  test("name its own key and its own host keys, and no other is trusted", async () => {
    expect(await optionsOf()).toEqual({
      HostName: "127.0.0.1",
      Port: 2222,
      User: "bob",
      IdentityFile: "~/.ssh/ssh-reverse-tunnel/my-nas.0123abcd.key",
      IdentitiesOnly: "yes",
      IdentityAgent: "none",
      AddKeysToAgent: "no",
      PKCS11Provider: "none",
      PubkeyAuthentication: "yes",
      PreferredAuthentications: "publickey",
      HostKeyAlias: "my-nas",
      UserKnownHostsFile: "~/.ssh/ssh-reverse-tunnel/my-nas.known_hosts",
      GlobalKnownHostsFile: "/dev/null",
      KnownHostsCommand: "none",
      VerifyHostKeyDNS: "no",
      NoHostAuthenticationForLocalhost: "no",
      GSSAPIKeyExchange: "no",
      StrictHostKeyChecking: "yes",
      UpdateHostKeys: "no",
      CheckHostIP: "no",
      CanonicalizeHostname: "no",
      ControlMaster: "no",
      ControlPath: "none",
      ControlPersist: "no",
      ForwardAgent: "no",
      ForwardX11: "no",
      Tunnel: "no",
      PermitLocalCommand: "no",
      RemoteCommand: "none",
      RequestTTY: "auto",
      SessionType: "default",
      StdinNull: "no",
      ForkAfterAuthentication: "no",
      ServerAliveInterval: 15,
    });
  });

  test("end with those that the login sets itself", async () => {
    const options = await optionsOf({ options: { RequestTTY: "no", BatchMode: "yes" } });
    expect(options).toMatchObject({ RequestTTY: "no" });
    expect(Object.keys(options).at(-1)).toBe("BatchMode");
  });

  test("list the host keys under the name of the files if there is no alias", async () => {
    expect(await optionsOf({ aliases: [] })).toMatchObject({ HostKeyAlias: "my-nas", Port: 2222 });
  });
});
