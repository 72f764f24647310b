"""What files of weights become: read, matched to a network, converted; Caffe's too."""
