import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { InternalHost, PublicHost, ReverseTunnel } from "ssh-reverse-tunnel";

/** One host's settings in Pulumi.<stack>.yaml. */
interface Machine {
  address: string;
  /** As in the host's /etc/ssh/ssh_host_ed25519_key.pub, without the comment. */
  hostKey: string;
}

/**
 * Makes a web application public: it runs on a machine without a public address, and gets a port of one that has one.
 */
export default function program() {
  const config = new pulumi.Config();
  const privateKey = config.requireSecret("adminKey");
  // Distinguishes this stack from one of the same name in another state.
  const stackId = new random.RandomId("stack-id", { byteLength: 8 }).hex;
  const connection = ({ address, hostKey }: Machine) => ({
    host: address,
    user: "root",
    privateKey,
    hostKey,
  });

  const tunnel = new ReverseTunnel("web-app", {
    internalHost: new InternalHost("app-server", {
      connection: connection(config.requireObject<Machine>("appServer")),
      stackId,
    }),
    publicHost: new PublicHost("gate", {
      connection: connection(config.requireObject<Machine>("gate")),
      stackId,
    }),
    forwards: {
      web: {
        remotePort: config.requireNumber("publicPort"),
        target: config.requireNumber("appPort"),
        listen: "all",
      },
    },
  });

  return {
    url: tunnel.endpoints.apply(({ web }) => `http://${web?.endpoint}`),
    units: tunnel.units,
  };
}
