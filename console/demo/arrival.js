// The first page: a throw-away person by a button, where the server makes some; else a token to paste.

import { announce } from './announce.js';
import { say } from './element.js';
import { areMade, makePerson } from './person.js';
import { subjectOf } from './token.js';
import { t } from './words.js';

const byId = (id) => document.getElementById(id);

export class Arrival {
  #take;
  /** Whether the server makes people. */
  #makes = false;

  /** `take(token, {isNew})` is told of a token that makes sense. */
  constructor(take) {
    this.#take = take;
    byId('make-person').addEventListener('click', () => this.#make());
    byId('other-person').addEventListener('click', () => this.#make());
    byId('other-token').addEventListener('click', () => {
      this.show();
      this.#openForm();
    });
    byId('token-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const given = byId('token').value.trim();
      say(byId('token-error'), subjectOf(given) ? '' : t('token.bad'));
      if (subjectOf(given)) this.#take(given, { isNew: false });
      byId('token').value = '';
    });
  }

  /** Asks the server whether it makes people. Without any, the token is what there is to ask for. */
  async look() {
    this.#makes = await areMade();
    byId('start-person').hidden = byId('other-person').hidden = !this.#makes;
    if (!this.#makes) byId('token-part').open = true;
  }

  show() {
    byId('start').hidden = false;
  }

  hide() {
    byId('start').hidden = true;
  }

  /** The token was refused: asks for another one of the same person. Once, though several devices find out. */
  askAgain(subject) {
    const isAsked = byId('start-why').dataset.words === 'token.again' && !byId('start').hidden;
    byId('start-title').dataset.words = 'token.title';
    byId('start-why').dataset.words = 'token.again';
    say(byId('start-title'), t('token.title'));
    say(byId('start-why'), t('token.again'));
    say(byId('command'), `ryzed token --user ${subject}`);
    this.show();
    if (isAsked) return;
    announce(t('token.again'));
    this.#openForm();
  }

  #openForm() {
    byId('token-part').open = true;
    byId('token').focus();
  }

  async #make() {
    byId('make-person').disabled = byId('other-person').disabled = true;
    say(byId('start-error'), '');
    try {
      this.#take(await makePerson(), { isNew: true });
    } catch (fault) {
      this.show();
      say(byId('start-error'), fault.message);
    }
    byId('make-person').disabled = byId('other-person').disabled = false;
  }
}
