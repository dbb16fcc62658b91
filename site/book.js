// What the book's pages do beside showing: offline, sounds that can be changed, the sound board, progress.
import {board} from './board.js';
import {changeable} from './change.js';
import {offline} from './offline.js';
import {place} from './try/engine.js';
import {reading} from './reading.js';

const root = new URL(document.documentElement.dataset.content_root ?? './', location.href);
const begin = () => {
  document.documentElement.dataset.alive = '';
  place(root);
  changeable();
  board(root);
  reading();
  offline(root);
};
if (document.readyState === 'loading') addEventListener('DOMContentLoaded', begin); else begin();
