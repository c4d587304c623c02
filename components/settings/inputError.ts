import * as pulumi from "@pulumi/pulumi";

/**
 * An error of somebody's input, for a component to throw. Pulumi shows such a one as its message alone, and beside the
 * resource where there is one; of any other error it shows the stack.
 *
 * @example throw inputError("the tunnel 'nas' has no forwards; give it at least one", this);
 */
export function inputError(
  message: string,
  resource?: pulumi.Resource,
  cause?: unknown,
): pulumi.ResourceError {
  const error = new pulumi.ResourceError(message, resource, true);
  // Its stack is not shown, and Node 20 nevertheless takes half a minute to colour it.
  error.stack = message;
  if (cause !== undefined) error.cause = cause;
  return error;
}
