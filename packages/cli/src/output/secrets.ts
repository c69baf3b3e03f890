/** Hides credentials in text: those of the URLs that it was told of, and whatever looks like those of a URL. */
export class Secrets {
  readonly #texts = new Set<string>();

  /** Learns the user and the password of a URL, as written and decoded. */
  learn(url: string): void {
    const userinfo = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)@/i.exec(url)?.[1];
    if (userinfo === undefined) return;
    const colon = userinfo.indexOf(':');
    const password = colon < 0 ? userinfo : userinfo.slice(colon + 1);
    for (const text of [userinfo, password, decoded(password)]) if (text.length >= 3) this.#texts.add(text);
  }

  /** The text without them. */
  hide(text: string): string {
    let hidden = text.replace(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/?#"']*@/gi, '$1…@');
    for (const secret of this.#texts) hidden = hidden.replaceAll(secret, '…');
    return hidden;
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
