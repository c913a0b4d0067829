// Keeps conversations in this browser, and the few choices that outlive them. Nothing leaves it.

const NAME = "hermes";
const SHELF = "conversations";

/** Conversations in IndexedDB; in memory only where the browser forbids storage. */
export class Store {
  #base = null;
  #memory = new Map();

  async open() {
    try {
      this.#base = await promised(Object.assign(indexedDB.open(NAME, 1), {
        onupgradeneeded: (event) => event.target.result.createObjectStore(SHELF, { keyPath: "id" }),
      }));
    } catch { this.#base = null; }
    for (const one of this.#base ? await promised(this.#shelf("readonly").getAll()) : []) this.#memory.set(one.id, one);
    return this;
  }

  /** Newest first. */
  all() {
    return [...this.#memory.values()].sort((a, b) => b.updated - a.updated);
  }

  get(id) { return this.#memory.get(id) ?? null; }

  async save(conversation) {
    this.#memory.set(conversation.id, conversation);
    if (this.#base) await promised(this.#shelf("readwrite").put(conversation));
  }

  async remove(id) {
    this.#memory.delete(id);
    if (this.#base) await promised(this.#shelf("readwrite").delete(id));
  }

  #shelf(mode) {
    return this.#base.transaction(SHELF, mode).objectStore(SHELF);
  }
}

function promised(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** A small choice, such as the theme. */
export function recall(name) {
  try { return JSON.parse(localStorage.getItem(`hermes.${name}`)); } catch { return null; }
}

export function remember(name, value) {
  try { localStorage.setItem(`hermes.${name}`, JSON.stringify(value)); } catch { /* no storage */ }
}
