import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runScript, shells, testScript } from "../support/shells.ts";

// The library with stand-ins for what a host with SELinux has. systemd starts programs in a domain of their own if they
// have the type bin_t.

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "selinux-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string) => join(folder, name);

/** SELinux, and semanage with its rules in a file. A program has the type of the last rule, or lib_t. */
const selinux = () => `
selinuxenabled() { :; }
restorecon() { echo "restorecon $*" >>${file("log")}; }
tr() { if [ "$2" = '\\0' ]; then echo system_u:system_r:init_t:s0; else command tr "$@"; fi; }
semanage() {
  case $2 in
    -l) [ ! -s ${file("rules")} ] || command cat ${file("rules")} ;;
    -a) printf '%s  all files  system_u:object_r:%s:s0 \\n' "$5" "$4" >>${file("rules")} ;;
    -d) grep -vF -- "$3 " ${file("rules")} >${file("kept")} || :; mv ${file("kept")} ${file("rules")} ;;
  esac
}
selinuxexeccon() {
  case $(tail -n 1 ${file("rules")} 2>/dev/null) in
    *:bin_t:*) echo system_u:system_r:initrc_t:s0 ;;
    *) echo "$2" ;;
  esac
}
systemctl() { echo $$; }
label() { :; }`;

describe.each(shells)("in %s, on a host whose policy keeps programs in systemd's own domain,", (_, shell) => {
  const run = (
    verb: "apply" | "remove",
    instead = "",
    apply = 'let_systemd_run "/srv/my.tools/bin/tunnel"',
  ) => {
    const text = testScript("addLine", file("state"), { RESOURCE: "r" }).replace(
      /\nmain "\$@"\n$/,
      () => `\n${selinux()}\n${instead}\napply() { ${apply}; }\nmain "$@"\n`,
    );
    const { stderr, status } = runScript(shell, text, verb);
    return { stderr, status };
  };
  const rules = () => (existsSync(file("rules")) ? readFileSync(file("rules"), "utf8") : "");
  const ours = String.raw`/srv/my\.tools/bin(/.*)?  all files  system_u:object_r:bin_t:s0 ` + "\n";
  const theirs = "/srv(/.*)?  all files  system_u:object_r:lib_t:s0 \n";

  test("the folder of a program gets a type that systemd starts programs from, and a removal takes that back", () => {
    writeFileSync(file("rules"), theirs);
    expect(run("apply")).toEqual({
      status: 0,
      stderr: "changed: gate: gave /srv/my.tools/bin the SELinux type bin_t\n",
    });
    expect(rules()).toBe(theirs + ours);
    expect(readFileSync(file("log"), "utf8")).toBe("restorecon -R -- /srv/my.tools/bin\n");
    expect(run("apply")).toEqual({ status: 0, stderr: "unchanged: gate: the test\n" });
    expect(run("remove").status).toBe(0);
    expect(rules()).toBe(theirs);
  });

  test("a run that was killed before it added the rule is completed by the next", () => {
    expect(run("apply", "semanage() { kill -9 $$; }").status).not.toBe(0);
    expect(run("apply").status).toBe(0);
    expect(rules()).toBe(ours);
  });

  test("a rule of the administrator for the very same folder is not touched, and named", () => {
    const same = ours.replace("bin_t", "lib_t");
    writeFileSync(file("rules"), same);
    const { stderr, status } = run("apply");
    expect(status).toBe(3);
    expect(stderr).toContain(
      `error: gate: SELinux would keep /srv/my.tools/bin/tunnel in systemd's own domain`,
    );
    expect(stderr).toContain(
      `by the rule '${same.trim().replace("  all files  ", " ")}' of this host; remove that`,
    );
    expect(rules()).toBe(same);
  });

  test("a rule of ours that the administrator has changed since stays", () => {
    expect(run("apply").status).toBe(0);
    writeFileSync(file("rules"), ours.replace("bin_t", "etc_t"));
    expect(run("remove").status).toBe(0);
    expect(rules()).toBe(ours.replace("bin_t", "etc_t"));
  });

  test("a rule that does not help is an error, and is taken back", () => {
    const { stderr, status } = run("apply", 'selinuxexeccon() { echo "$2"; }');
    expect(status).toBe(3);
    expect(stderr).toContain("although 'semanage fcontext' gives its folder the type bin_t");
    expect(rules()).toBe("");
  });

  test("a missing semanage is an error that names the package and the other way out", () => {
    const without = "command() { case $2 in semanage) return 1 ;; *) true ;; esac; }";
    expect(run("apply", without)).toEqual({
      status: 3,
      stderr:
        "error: gate: SELinux would keep /srv/my.tools/bin/tunnel in systemd's own domain (init_t), where it does not work, and semanage, which gives its folder the type bin_t, is missing; install policycoreutils-python-utils, or choose a toolsDirectory below /opt\n",
    });
  });

  test("nothing is done if systemd leaves its domain anyway, or if SELinux is not enabled", () => {
    for (const instead of [
      "selinuxexeccon() { echo system_u:system_r:unconfined_service_t:s0; }",
      "selinuxenabled() { false; }",
    ]) {
      expect(run("apply", instead)).toEqual({ status: 0, stderr: "unchanged: gate: the test\n" });
      expect(rules()).toBe("");
    }
  });

  test("a service that has started in systemd's domain all the same is an error", () => {
    const { stderr, status } = run("apply", "", "refuse_init x.service");
    expect(status).toBe(3);
    expect(stderr).toContain("error: gate: SELinux keeps x.service in systemd's own domain (init_t)");
    const elsewhere = "domain_of() { echo initrc_t; }";
    expect(run("apply", elsewhere, "refuse_init x.service").status).toBe(0);
    // It is down for a moment, or for longer.
    expect(run("apply", "systemctl() { echo 0; }", "refuse_init x.service").status).toBe(0);
  });
});
