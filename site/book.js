// What the book's pages do beside showing: offline, sounds that can be changed, the sound board, reading.
import {board} from './board.js';
import {changeable} from './change.js';
import {place} from './try/engine.js';
import {reading} from './reading.js';

const root = new URL(document.documentElement.dataset.content_root ?? './', location.href);
place(root);
changeable();
board(root);
reading();
document.documentElement.dataset.alive = 'yes'; // late.js looks for it
