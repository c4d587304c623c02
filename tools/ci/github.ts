/** GitHub's REST API, as far as the reports of a run need it. */

/** Where requests go, from the variables that every runner sets. */
export interface Access {
  /** GITHUB_API_URL */
  api: string;
  /** GITHUB_REPOSITORY, "owner/name" */
  repository: string;
  /** GITHUB_TOKEN, with the permission that the workflow gives the job */
  token: string;
}

interface Comment {
  id: number;
  body?: string;
  user: { type: string } | null;
}

interface Issue {
  number: number;
  body?: string | null;
  pull_request?: object;
}

export class GitHub {
  private readonly access: Access;

  constructor(access: Access) {
    this.access = access;
  }

  /** Writes a comment on a pull request, or replaces the one with this marker. */
  async comment(pullRequest: number, marker: string, text: string): Promise<void> {
    const body = `${marker}\n${text}`;
    const comments = `issues/${pullRequest}/comments`;
    // Anyone can write a marker; only a workflow is a bot.
    const own = (await this.list<Comment>(comments)).find(
      (comment) => comment.user?.type === "Bot" && comment.body?.startsWith(marker),
    );
    if (own) await this.request("PATCH", `issues/comments/${own.id}`, { body });
    else await this.request("POST", comments, { body });
  }

  /** Opens an issue with this label and marker, or replaces the text of the one that is open. */
  async openIssue(label: string, marker: string, title: string, text: string): Promise<void> {
    const body = `${marker}\n${text}`;
    const open = await this.findIssue(label, marker);
    if (open) await this.request("PATCH", `issues/${open.number}`, { title, body });
    else await this.request("POST", "issues", { title, body, labels: [label] });
  }

  /** Closes it, if it is open, with a last comment. */
  async closeIssue(label: string, marker: string, comment: string): Promise<void> {
    const open = await this.findIssue(label, marker);
    if (!open) return;
    await this.request("POST", `issues/${open.number}/comments`, { body: comment });
    await this.request("PATCH", `issues/${open.number}`, { state: "closed", state_reason: "completed" });
  }

  private async findIssue(label: string, marker: string): Promise<Issue | undefined> {
    const open = await this.list<Issue>(`issues?state=open&labels=${encodeURIComponent(label)}`);
    return open.find((issue) => !issue.pull_request && issue.body?.startsWith(`${marker}\n`));
  }

  private async list<T>(path: string): Promise<T[]> {
    const size = 100;
    const found: T[] = [];
    for (let page = 1; ; page++) {
      const more = path.includes("?") ? "&" : "?";
      const next = (await this.request("GET", `${path}${more}per_page=${size}&page=${page}`)) as T[];
      found.push(...next);
      if (next.length < size) return found;
    }
  }

  private async request(method: string, path: string, body?: object): Promise<unknown> {
    const { api, repository, token } = this.access;
    const response = await fetch(`${api}/repos/${repository}/${path}`, {
      method,
      headers: {
        accept: "application/vnd.github+json",
        authorization: `Bearer ${token}`,
        "x-github-api-version": "2022-11-28",
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (response.ok) return response.json();
    const { message = "" } = (await response.json().catch(() => ({}))) as { message?: string };
    const hint = [401, 403, 404].includes(response.status)
      ? "; the job needs pull-requests: write for a comment, issues: write for an issue"
      : "";
    throw new Error(`GitHub answered ${method} ${path} with ${response.status} ${message}${hint}`);
  }
}
