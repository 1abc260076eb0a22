/* cells.h - the table of cells. A new cell is a file in cells/ and a row here. */
#pragma once

#include "cells/esn.h"
#include "cells/gru.h"
#include "cells/gru_before.h"
#include "cells/lstm.h"
#include "cells/memory.h"
#include "cells/mgu.h"
#include "cells/mlstm.h"
#include "cells/rnn.h"

static const cell *const CELLS[] = {
    &rnn_cell, &relu_cell,       &lstm_cell, &gru_cell,   &memory_cell,
    &esn_cell, &gru_before_cell, &mgu_cell,  &mlstm_cell,
};

static const fastrnn_cell *cell_at(int index) {
    return index >= 0 && index < (int)(sizeof CELLS / sizeof *CELLS) ? &CELLS[index]->is : NULL;
}
